"""The catalogue's metrics as Prometheus objects, one registry a process."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agents.stage import Outbox
from schemas.metrics import METRICS, Kind, Metric


class Meters:
    """Counts, gauges and histograms by the metric of the catalogue."""

    def __init__(self, metrics: tuple[Metric, ...] = METRICS) -> None:
        self.registry = CollectorRegistry()
        self._made: Mapping[Metric, Counter | Gauge | Histogram] = {metric: self._make(metric) for metric in metrics}
        self._counters: dict[tuple[Metric, tuple[str, ...]], Counter] = {}

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

    def count(self, metric: Metric, labels: tuple[str, ...], by: int = 1) -> None:
        """Add to a counter."""
        child = self._counters.get((metric, labels))
        if child is None:
            made = self._made[metric]
            assert isinstance(made, Counter), f"{metric.name} is no counter"
            child = self._counters[metric, labels] = made.labels(*labels)
        child.inc(by)

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        made = self._made[metric]
        assert isinstance(made, Gauge), f"{metric.name} is no gauge"
        made.labels(*labels).set(value)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Add a value to a histogram."""
        made = self._made[metric]
        assert isinstance(made, Histogram), f"{metric.name} is no histogram"
        made.labels(*labels).observe(value)

    def absorb(self, outbox: Outbox) -> None:
        """Take what a stage counted."""
        for (metric, labels), by in outbox.tally.items():
            self.count(metric, labels, by)
        for metric, labels, value in outbox.observed:
            self.observe(metric, labels, value)
