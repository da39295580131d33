"""Whether the store shows what the statuses say: the row of each notification is the fold of its statuses.

And whether it shows the users' preferences as they were in the end."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from audit import Audit
from case import Case
from ledgers import CHANNELS, Told

RANKS = {"held": 1, "routed": 2, "retrying": 4, "suppressed": 5, "expired": 6, "unknown": 6, "dead": 6, "sent": 7}
PUBLIC = {"held": "PENDING", "routed": "PENDING", "retrying": "PENDING", "sent": "SENT"}


def check(case: Case, result: Audit) -> None:
    """Every row."""
    told: dict[str, list[Told]] = defaultdict(list)
    for status in case.ledgers.told:
        if status.id and status.step in RANKS:
            told[status.id].append(status)
    rows = case.ledgers.rows
    result.figures["rows"] = len(rows)
    result.expect_none("rows_missing", set(told) - set(rows))
    result.expect_none("rows_unasked", set(rows) - set(told))
    result.expect_none(
        "rows_that_differ",
        (
            (id_, different)
            for id_, statuses in told.items()
            if id_ in rows and (different := _differences(rows[id_], fold(statuses)))
        ),
    )
    shown = case.ledgers.channels
    wanted = {
        ("/".join(user), channel): (version.opens(channel), int(version.person["version"]))
        for user, version in case.people.latest().items()
        for channel in CHANNELS
    }
    result.expect_none("preferences_missing", set(wanted) - set(shown))
    result.expect_none("preferences_unasked", set(shown) - set(wanted))
    result.expect_none(
        "preferences_that_differ",
        ((place, shown[place], wanted[place]) for place in wanted if shown.get(place, wanted[place]) != wanted[place]),
    )


def fold(statuses: Sequence[Told]) -> dict[str, Any]:
    """What the row of a notification must say: the highest rank, of equal ones the earliest, then by the alphabet."""
    shown = min(
        statuses,
        key=lambda s: (-s.round, -RANKS[s.step], s.at_ms, s.step, s.reason, s.channel, s.provider, s.message_id),
    )
    optional = {
        "reason": shown.reason,
        "channel": shown.channel,
        "provider": shown.provider,
        "provider_message_id": shown.message_id,
    }
    return {
        "user_id": shown.user_id,
        "status": PUBLIC.get(shown.step, "FAILED"),
        "step": shown.step,
        "rank": shown.round * 100 + RANKS[shown.step],
        "retry_count": max(0, *(status.attempt - 1 for status in statuses)),
        "created_at": _time(min(status.accepted_ms for status in statuses)),
        "updated_at": _time(shown.at_ms),
        **{name: value for name, value in optional.items() if value},
    }


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _differences(row: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Each field that is not as it must be: what it says and what it should."""
    names = [*wanted, *({"reason", "channel", "provider", "provider_message_id"} - set(wanted))]
    return {name: (row.get(name), wanted.get(name)) for name in names if row.get(name) != wanted.get(name)}
