"""What the providers saw: calls, what they took, repeats, and how long after its time each call was read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Seen:
    """The ledger in figures. `waits` are milliseconds from due to read, by channel and by class."""

    calls: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Messages that a provider took twice under one reference."""
    again: int = 0
    """Deliveries that were taken in more than one attempt: an OTP whose first outcome nobody knows goes once more."""
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def read(rows: Iterable[Mapping[str, Any]], due: Mapping[str, list[tuple[int, str]]]) -> Seen:
    """`due` says of each reference when its attempts were due and of which class; a reference may have devices."""
    seen = Seen()
    taken: Counter[tuple[str, str]] = Counter()
    attempts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        channel, ref = row["channel"], row["ref"] or ""
        seen.calls[channel] += 1
        if row["accepted"]:
            seen.accepted[channel] += 1
            taken[ref, row["to_hash"]] += 1
            attempts[ref.rpartition(".")[0], row["to_hash"]].add(ref)
        if times := due.get(ref):
            due_ms, kind = times[0]
            wait = row["t"] * 1000 - due_ms
            seen.waits[channel].append(wait)
            seen.waits[kind].append(wait)
    seen.repeated = sum(count - 1 for count in taken.values())
    seen.again = sum(len(refs) > 1 for refs in attempts.values())
    return seen


def percentile(values: list[float], share: float) -> float | None:
    """The value that `share` of all lie at or below; None of nothing."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None
