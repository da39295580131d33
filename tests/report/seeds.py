"""What the seeds of the chaos runner come to together. Pure: from their kept summaries to figures."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.report.results import Result

PROMPT_MS = 500
CHECKS = {
    "lost": "accepted, and neither called nor ended",
    "accepted_but_not_in_the_log": "acknowledged, and not in Kafka",
    "undecided": "an input record without a decision",
    "decided_unasked": "a decision without its input record",
    "decided_otherwise": "a decision that the oracle would not have made",
    "decided_twice": "an input record with two decisions",
    "held_for_ever": "held, and never decided again",
    "returned_unasked": "returned, and never held",
    "routed_but_not_written": "decided to deliver, and a delivery is missing",
    "written_unasked": "a delivery that was not decided",
    "attempts_untold": "an attempt asked for that no status tells of",
    "retries_lost": "a retry told of that was not asked for",
    "not_ended": "a delivery without an end",
    "ended_unasked": "an end without its delivery",
    "ended_twice": "a delivery with two ends",
    "ended_without_cause": "an end that nothing in the ledgers gives a cause for",
    "hostile_without_a_dead_letter": "a hostile record without its dead letter",
    "sent_by_a_broken_template": "sent by a template that cannot be parsed",
    "phantom": "a call that nobody asked for",
    "wrong_recipient": "a call to somebody else",
    "wrong_body": "a call with other words",
    "called_at_two_addresses": "one notification called at an old and at a new address",
    "called_after_opt_out": "a call after an opt-out was in force",
    "called_after_deadline": "a call after the deadline",
    "sent_without_a_call": "told as sent, and never called",
    "called_but_not_ended_so": "called, and not told as sent",
    "unknown_not_buried": "ended as unknown, and not among the dead letters",
    "one_attempt_called_twice": "one attempt with two calls",
    "repeats_by_the_producer": "a producer's repeat that was let through",
    "repeats_unexplained": "a repeated call without a cause",
    "repeats_unflagged": "a repeated call that was not called unknown before",
    "repeats_forbidden": "a repeated call of a class that is never repeated",
    "repeats_too_many": "more repeats after one fault than calls were in flight",
    "rows_missing": "a notification without its row in DynamoDB",
    "rows_unasked": "a row without its notification",
    "rows_that_differ": "a row that is not the fold of its statuses",
    "preferences_missing": "a preference without its row",
    "preferences_unasked": "a row of a preference that nobody wrote",
    "preferences_that_differ": "a row that is not the latest preference",
    "died_unasked": "a process that ended and was not meant to",
    "not_as_expected": "a fault that was not met as its file says",
}
"""What a seed must have none of: its figures of these names."""
BEFORE_S, AFTER_S = 10, 20
"""How much of a fault's surroundings its curve shows."""


def total(seeds: Iterable[Result], name: str) -> int | None:
    """The sum of a figure over all seeds; nothing if no seed has it."""
    found = [seed[name] for seed in seeds if isinstance(seed.get(name), int)]
    return sum(found) if found else None


def ranges(numbers: Iterable[int]) -> str:
    """Numbers with their gaps: 1-2, 101-116."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def uncommitted(seeds: Iterable[Result]) -> list[int]:
    """Seeds that ran on a tree with changes that no commit has."""
    return [seed["seed"] for seed in seeds if str(seed.get("commit", "")).endswith("-dirty")]


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
