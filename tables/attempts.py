"""attempts: what was tried for each delivery, durable before the call and again after it."""

from enum import IntEnum

import msgspec

from schemas.records import Tried
from tables.table import Kind, Table

TABLE = Table("attempts", Kind.CHANGELOGGED, keep_s=26 * 3600)


class State(IntEnum):
    """What is known of the latest attempt."""

    STARTED = 0
    """Durable before its call: without an outcome it may or may not have been made."""
    RETRYABLE = 1
    """A further attempt is allowed, and on its way."""
    ENDED = 2
    """The delivery has ended; nothing goes."""


class Attempt(msgspec.Struct, array_like=True, gc=False):
    """The latest attempt of a delivery: its round and number, the record that asked for it, and what is known.

    `unspent` of the attempts made no call, this one included where it ended so. `step`, `reason`, `due_ms`, `tried` and
    `suppress` (the address is dead or said stop) say what followed, so that a replay can say it again.
    """

    round: int
    number: int
    topic: str
    partition: int
    offset: int
    provider: str
    state: int
    started_ms: int
    step: str = ""
    reason: str = ""
    message_id: str = ""
    due_ms: int = 0
    possible_duplicate: bool = False
    tried: list[Tried] = []
    suppress: bool = False
    accepted_ms: int = 0
    unspent: int = 0


class Verdict(IntEnum):
    """What a delivery record is, given the latest attempt."""

    GO = 0
    """Fresh, or the next attempt after a retryable outcome."""
    REPEAT = 1
    """Asked for already by another record: drop it."""
    UNKNOWN = 2
    """The same record, started and without an outcome: the call may have been made."""
    REPLAY = 3
    """The same record, with its outcome known: say again what followed, and make no call."""


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Attempt).decode


def judge(latest: Attempt | None, round_: int, number: int, topic: str, partition: int, offset: int) -> Verdict:
    """Whether a delivery record may be attempted, given the latest attempt of its delivery."""
    if latest is None:
        return Verdict.GO
    if latest.offset == offset and latest.partition == partition and latest.topic == topic:
        return Verdict.UNKNOWN if latest.state == State.STARTED else Verdict.REPLAY
    if (round_, number) <= (latest.round, latest.number):
        return Verdict.REPEAT
    # A next attempt was asked for by an outcome, even where a process that stood still wrote its start over that since.
    if latest.state != State.ENDED or round_ > latest.round:
        return Verdict.GO
    return Verdict.REPEAT
