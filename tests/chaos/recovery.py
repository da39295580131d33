"""How prompt calls were, second by second, and how soon after each fault they were prompt again."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accepted import Entry
from traffic import STRANGER

from schemas.keys import notification_id
from schemas.vocabulary import CLASSES, Lane

PROMPT_MS = 500.0
CHANNELS = ("push", "sms", "email")
Calls = Sequence[Mapping[str, Any]]
"""Rows of the sandbox's ledger."""


def due_times(accepted: Path) -> dict[str, float]:
    """When each notification of the high lane was first due (epoch s), by its id.

    As far as it was acknowledged, and its user known: others are held until they are.
    """
    due: dict[str, float] = {}
    for line in accepted.read_text().splitlines():
        entry = Entry.read(line)
        if entry.kind != "request" or entry.result != "ok":
            continue
        id_ = _id(entry.value)
        if id_ is not None:
            due[id_] = min(entry.t_due, due.get(id_, entry.t_due))
    return due


def _id(body: bytes | None) -> str | None:
    try:
        asked = json.loads(body or b"")
        if asked["user_id"].startswith(STRANGER):
            return None
        lane = CLASSES[asked["class"]].lane
        found = notification_id(asked["tenant"], lane, asked["user_id"], asked["idempotency_key"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if lane is Lane.HIGH else None


def series(due: Mapping[str, float], calls: Calls, began: float) -> list[dict[str, Any]]:
    """One row for each second of due time: how many were due, how many called, and how late their first calls were.

    A second whose notifications were all called late shows it in its own row, not in the one when it was mended.
    """
    first: dict[tuple[str, str], float] = {}
    called: Counter[int] = Counter()
    for call in calls:
        id_, channel, _, attempt = call["ref"].split(".")
        called[int(call["t"] - began)] += 1
        if attempt == "1":
            first[id_, channel] = min(call["t"], first.get((id_, channel), call["t"]))
    delays: dict[tuple[int, str], list[float]] = defaultdict(list)
    for (id_, channel), at in first.items():
        if id_ in due:
            delays[int(due[id_] - began), channel].append((at - due[id_]) * 1000)
    rows = Counter(int(at - began) for at in due.values())
    return [
        _row(second, rows[second], called[second], delays) for second in range(max([*rows, *called], default=-1) + 1)
    ]


def _row(second: int, due: int, called: int, delays: Mapping[tuple[int, str], list[float]]) -> dict[str, Any]:
    of_all = [ms for channel in CHANNELS for ms in delays.get((second, channel), ())]
    return {
        "second": second,
        "due": due,
        "called": called,
        "p50_ms": _percentile(of_all, 50),
        "p99_ms": _percentile(of_all, 99),
        "p99_ms_by_channel": {channel: _percentile(delays.get((second, channel), ()), 99) for channel in CHANNELS},
    }


def _percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))], 1) if ordered else 0.0


def late(rows: Iterable[Mapping[str, Any]], since_s: float, until_s: float) -> list[bool]:
    """Of each second between the two, whether what was due in it was called late."""
    return [row["p99_ms"] > PROMPT_MS for row in rows if int(since_s) <= row["second"] < until_s]


def recovered_s(rows: Iterable[Mapping[str, Any]], struck_s: float, healed_s: float, until_s: float) -> float:
    """Seconds from a fault's end to the first two in a row in which all that was due was called promptly again.

    Looks at what was due since it struck and before `until_s`; zero where nothing was late.
    """
    found = late(rows, struck_s, until_s)
    if True not in found:
        return 0.0
    first = found.index(True)
    again = next((n for n in range(first, len(found)) if not any(found[n : n + 2])), len(found))
    return round(max(0.0, int(struck_s) + again - healed_s), 1)
