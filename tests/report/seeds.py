"""What the seeds of the chaos runner come to together. Pure: from their kept summaries to figures."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.report.results import Result

PROMPT_MS = 500
CHECKS = {
    "lost": "accepted, and neither called nor ended",
    "undecided": "a record on a notifications topic without a decision",
    "decided_otherwise": "a decision that the oracle would not have made",
    "routed_but_not_written": "a decision to deliver without its deliveries",
    "not_ended": "a delivery without an end",
    "ended_twice": "a delivery with two ends",
    "phantom": "a call that nobody asked for",
    "wrong_recipient": "a call to somebody else",
    "wrong_body": "a call with other words",
    "called_after_opt_out": "a call after an opt-out was in force",
    "called_after_deadline": "a call after the deadline",
    "sent_without_a_call": "told as sent, never called",
    "called_but_not_ended_so": "called, not told as sent",
    "repeats_by_the_producer": "a producer's repeat that was let through",
    "repeats_unexplained": "a repeated call without a cause",
    "repeats_unflagged": "a repeated call that the engine did not call unknown before",
    "repeats_forbidden": "a repeated call of a class that is never repeated",
    "repeats_too_many": "more repeats after one fault than calls were in flight",
    "rows_missing": "a notification without its row in DynamoDB",
    "rows_that_differ": "a row that is not the fold of its statuses",
    "ended_unasked": "a delivery told as ended that nothing asked for, or a process that ended and was not meant to",
    "not_as_expected": "a fault that was not met as its file says",
}
"""What the audit of a seed must find none of: its figures of these names."""
BEFORE_S, AFTER_S = 10, 20
"""How much of a fault's surroundings its curve shows."""


def total(seeds: Iterable[Result], name: str) -> int | None:
    """The sum of a figure over all seeds; nothing if no seed has it."""
    found = [seed[name] for seed in seeds if isinstance(seed.get(name), int)]
    return sum(found) if found else None


def red(seeds: Iterable[Result]) -> dict[int, list[str]]:
    """Seeds whose audit found something, and what."""
    return {seed["seed"]: seed["faults"] for seed in seeds if seed["faults"]}


def strikes(seeds: Iterable[Result]) -> list[Result]:
    """Every strike: of one fault or of a pair."""
    return [strike for seed in seeds for strike in seed.get("struck", [])]


def struck(seeds: Iterable[Result]) -> Counter[str]:
    """How often each fault struck, alone or in a pair."""
    return Counter(name for strike in strikes(seeds) for name in strike["faults"])


def alone(seeds: Iterable[Result], fault: str) -> list[Result]:
    """The strikes of a fault without another."""
    return [strike for strike in strikes(seeds) if strike["faults"] == [fault]]


def repeats(seeds: Iterable[Result]) -> Counter[str]:
    """Repeated calls by their cause; every cause that was looked for is in it."""
    found: Counter[str] = Counter()
    for seed in seeds:
        found.update(seed.get("repeats", {}))
    return found


def curves(seeds: Iterable[Result], fault: str) -> list[dict[int, int]]:
    """For each strike of a fault alone: p99 (ms) of what was due in each second, counted from the fault's end.

    Nothing from the second of the next strike on.
    """
    return [
        {second - round(strike["healed_s"]): p99 for second, p99 in _around(seed, strike, until)}
        for seed in seeds
        for strike, until in _with_next(seed.get("struck", []))
        if strike["faults"] == [fault]
    ]


def middle(found: Sequence[dict[int, int]]) -> list[tuple[int, int, float, int]]:
    """Second, lowest, median and highest p99 of some curves; seconds that fewer than half of them have are left out."""
    rows = []
    for second in range(-BEFORE_S, AFTER_S + 1):
        values = [curve[second] for curve in found if second in curve]
        if values and len(values) * 2 >= len(found):
            rows.append((second, min(values), statistics.median(values), max(values)))
    return rows


def most_telling(seeds: Sequence[Result]) -> Result | None:
    """The seed with the most strikes of those under five minutes, the first of equals."""
    shown = [seed for seed in seeds if 0 < len(_column(seed, "due")) < 300 and seed.get("struck")]
    return max(shown, key=lambda seed: len(seed["struck"]), default=None)


def _column(seed: Result, name: str) -> list[int]:
    """By the second; nothing of a seed that was broken off."""
    return list(seed.get("seconds", {}).get(name, []))


def _with_next(struck_: Sequence[Result]) -> Iterator[tuple[Result, float]]:
    ends = [*(later["struck_s"] for later in struck_[1:]), float("inf")]
    return zip(struck_, ends, strict=True)


def _around(seed: Result, strike: Result, until_s: float) -> Iterator[tuple[int, int]]:
    healed, due = round(strike["healed_s"]), _column(seed, "due")
    for second, p99 in enumerate(_column(seed, "p99_ms")):
        if due[second] and healed - BEFORE_S <= second <= healed + AFTER_S and second < until_s:
            yield second, p99
