"""The catalogue's metrics as Prometheus objects, one registry a process."""

from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agents.stage import Outbox
from schemas.metrics import METRICS, Kind, Metric

MOST_VALUES = 1_000
"""Values of a label that producers choose, for each metric of a process: a time series each, in every scrape."""
OTHER = "other"

T = TypeVar("T", Counter, Gauge, Histogram)


class Meters:
    """Counts, gauges and histograms by the metric of the catalogue."""

    def __init__(self, metrics: tuple[Metric, ...] = METRICS) -> None:
        self.registry = CollectorRegistry()
        self._made: Mapping[Metric, Counter | Gauge | Histogram] = {metric: self._make(metric) for metric in metrics}
        self._children: dict[tuple[Metric, tuple[str, ...]], Counter | Gauge | Histogram] = {}
        self._values: dict[tuple[Metric, str], set[str]] = {}
        """The values of open labels that are shown."""

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        match metric.kind:
            case Kind.COUNTER:
                return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            case Kind.GAUGE:
                return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
            case Kind.HISTOGRAM:
                return Histogram(
                    metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
                )

    def _child(self, metric: Metric, labels: tuple[str, ...], kind: type[T]) -> T:
        child = self._children.get((metric, labels))
        if child is None:
            shown = self._shown(metric, labels) if metric.open else labels
            child = self._made[metric].labels(*shown)
            if shown == labels:
                self._children[metric, labels] = child
        assert isinstance(child, kind), f"{metric.name} is no {kind.__name__.lower()}"
        return child

    def _shown(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Labels as they are served: of those that producers choose the first MOST_VALUES, then OTHER."""
        shown = list(labels)
        for index, label in enumerate(metric.labels):
            if label in metric.open:
                values = self._values.setdefault((metric, label), set())
                if len(values) < MOST_VALUES:
                    values.add(labels[index])
                shown[index] = labels[index] if labels[index] in values else OTHER
        return tuple(shown)

    def count(self, metric: Metric, labels: tuple[str, ...], by: int = 1) -> None:
        """Add to a counter."""
        self._child(metric, labels, Counter).inc(by)

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        self._child(metric, labels, Gauge).set(value)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Add a value to a histogram."""
        self._child(metric, labels, Histogram).observe(value)

    def absorb(self, outbox: Outbox) -> None:
        """Take what a stage counted."""
        for (metric, labels), by in outbox.tally.items():
            self.count(metric, labels, by)
        for metric, labels, value in outbox.observed:
            self.observe(metric, labels, value)
