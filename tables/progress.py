"""progress: the row each notification has in the store, folded from its statuses."""

import msgspec

from schemas.records import Status
from schemas.vocabulary import PUBLIC, RANK, Step
from tables.table import Kind, Table

TABLE = Table("progress", Kind.CHANGELOGGED, keep_s=72 * 3600)


class Row(msgspec.Struct, array_like=True):
    """The latest of a notification: `rank` = (round, step) decides which status it shows."""

    notification_id: str
    tenant: str
    user_id: str
    created_ms: int
    round: int
    rank: int
    step: str
    reason: str
    retry_count: int
    updated_ms: int
    channel: str = ""
    provider: str = ""
    provider_message_id: str = ""

    @property
    def public(self) -> str:
        """PENDING, SENT or FAILED."""
        return PUBLIC[Step(self.step)].value


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Row).decode


def fold(row: Row | None, status: Status) -> Row | None:
    """The row after `status`, or None where it changes nothing (a duplicate, a lower rank, a repeat).

    Order and repeats make no difference: of equal ranks the earliest is shown, and then the first in the alphabet.
    """
    rank = RANK.get(status.step)
    if rank is None or not status.notification_id:
        return None
    retries = max(row.retry_count if row else 0, status.attempt - 1)
    created = min(row.created_ms, status.accepted_ms) if row else status.accepted_ms
    found = Row(
        status.notification_id,
        status.tenant,
        status.user_id,
        created,
        status.round,
        rank,
        status.step.value,
        status.reason,
        retries,
        status.at_ms,
        status.channel or "",
        status.provider,
        status.provider_message_id,
    )
    if row is None or _shown_first(found) < _shown_first(row):
        return found
    if (retries, created) == (row.retry_count, row.created_ms):
        return None
    return msgspec.structs.replace(row, retry_count=retries, created_ms=created)


def _shown_first(row: Row) -> tuple[int, int, int, str, str, str, str, str]:
    rest = (row.step, row.reason, row.channel, row.provider, row.provider_message_id)
    return (-row.round, -row.rank, row.updated_ms, *rest)
