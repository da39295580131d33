"""What the workers say of themselves: their metrics, gathered and added up."""

import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from flows import roster
from schemas import metrics

_OPEN = 2
"""The last two buckets: one to a minute, one without end."""


@dataclass(slots=True)
class Figures:
    """Counts since the start. Keys: decisions (lane, decision, reason), ends (lane, channel, end), calls
    (channel, outcome), waits (channel, upper bound in ms), lag by lane ("" for the flows without one)."""

    decisions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    waits: Counter[tuple[str, float]] = field(default_factory=Counter)
    lag: Counter[str] = field(default_factory=Counter)

    def percentile(self, channel: str, share: float) -> float | None:
        """Milliseconds from due to call, interpolated within a bucket, but for the last ones, whose lower bound is
        all there is to say; None where nothing was called."""
        buckets = sorted((bound, count) for (found, bound), count in self.waits.items() if found == channel)
        if not buckets or not buckets[-1][1]:
            return None
        wanted, below, floor = buckets[-1][1] * share, 0, 0.0
        for bound, count in buckets[:-_OPEN]:
            if count >= wanted:
                return floor + (bound - floor) * (wanted - below) / (count - below)
            below, floor = count, bound
        return floor


def gather(addresses: Iterable[str]) -> Figures:
    """Ask every worker; one that does not answer just now is left out."""
    figures = Figures()
    for address in addresses:
        try:
            with urllib.request.urlopen(f"{address}/metrics", timeout=2) as reply:  # noqa: S310 - our own worker
                text = reply.read().decode()
        except (urllib.error.URLError, OSError):
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                _add(figures, sample.name, sample.labels, sample.value)
    return figures


def ready(addresses: Iterable[str]) -> bool:
    """Whether every worker says that all its flows are at work."""
    try:
        for address in addresses:
            with urllib.request.urlopen(f"{address}/ready", timeout=2):  # noqa: S310 - our own worker
                pass
    except (urllib.error.URLError, OSError):
        return False
    return True


def _add(figures: Figures, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == metrics.DECISIONS.name:
        figures.decisions[labels["lane"], labels["decision"], labels["reason"]] += int(value)
    elif name == metrics.ENDS.name:
        figures.ends[labels["lane"], labels["channel"], labels["end"]] += int(value)
    elif name == metrics.SENT.name:
        figures.calls[labels["channel"], labels["outcome"]] += int(value)
    elif name == f"{metrics.LATENCY.name}_bucket":
        figures.waits[labels["channel"], float(labels["le"])] += int(value)
    elif name == metrics.LAG.name:
        entry = roster.FLOWS.get(labels["flow"])
        figures.lag[entry.lane if entry and entry.lane else ""] += int(value)
