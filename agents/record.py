"""record: statuses become the one row each notification has in the store; preferences become rows of their own.

All that a batch changes is one piece of work.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from agents.stage import Input, Outbox, Tables
from schemas import metrics
from schemas.errors import Malformed
from schemas.keys import at, user_key
from schemas.records import Preference, Status
from schemas.vocabulary import RANK
from tables.preferences import read
from tables.progress import Row, fold, pack, unpack

FOLD_FOR_MS = 72 * 3600 * 1000
"""How long the fold is kept; a row older than this is changed in the store under a condition."""

_decode = msgspec.json.Decoder(Status).decode


@dataclass(frozen=True, slots=True)
class Write:
    """One row to be written. `conditional`: only over a lower rank, because its fold is no longer known."""

    row: Row
    conditional: bool


@dataclass(frozen=True, slots=True)
class WritePreference:
    """A user's channels to be written."""

    preference: Preference


@dataclass(frozen=True, slots=True)
class SetAside:
    """How many rows of a piece of work its table refuses for good."""

    table: str
    rows: int


def record(clock: Callable[[], int]) -> Callable[[Sequence[Input], Tables, Outbox], None]:
    """The stage over statuses."""

    def stage(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
        now, progress = clock(), tables["progress"]
        statuses = [
            (at(found.partition, status.notification_id.encode()), status)
            for found in batch
            if (status := _read(found)) is not None and status.notification_id
        ]
        progress.load([key for key, _ in statuses])
        changed: dict[bytes, Write] = {}
        for key, status in statuses:
            entry = progress.get(key)
            before = unpack(entry) if entry is not None else None
            row = fold(before, status)
            if row is None and status.step in RANK:
                # Perhaps a replay: the process that folded it first may not have lived to log it or to write the row.
                row = before
            if row is not None:
                progress[key] = pack(row)
                forgotten = (entry is None or row is before) and now - status.accepted_ms > FOLD_FOR_MS
                changed[key] = Write(row, forgotten)
        if changed:
            outbox.call(list(changed.values()))

    return stage


def record_preferences(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
    """The stage over preferences: the latest of each user in the batch is written.

    Only what lies under the user's key counts: remember sees to it that the last of these is the one that holds.
    """
    latest: dict[tuple[str, str], Preference] = {}
    for found in batch:
        if found.value is not None:
            try:
                preference = read(found.value)
            except Malformed:
                # The routing flow reads the same record and buries it.
                continue
            if found.key == user_key(preference.tenant, preference.user_id):
                latest[preference.tenant, preference.user_id] = preference
    if latest:
        outbox.call([WritePreference(preference) for preference in latest.values()])


def count_set_aside(results: Sequence[SetAside], tables: Tables, outbox: Outbox) -> None:
    """The stage over what became of rows: the alarm of those that were set aside."""
    for result in results:
        if result.rows:
            outbox.count(metrics.ROWS_SET_ASIDE, result.table, by=result.rows)


def _read(found: Input) -> Status | None:
    """Statuses are our own; one that cannot be read is the culprit its stage is run again for."""
    return _decode(found.value) if found.value is not None else None
