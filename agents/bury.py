"""bury: a record that cannot be used goes to the dead letters, with its cause and position, and is decided dead."""

from agents.intake import origin
from agents.stage import Input, Outbox
from schemas import metrics, topics
from schemas.records import MAX_INPUT_BYTES, DeadLetter, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step


def bury(
    outbox: Outbox, record: Input, reason: Reason, now_ms: int, ring: KeyRing, lane: Lane, detail: str = ""
) -> None:
    """Bury an input record of route. Its body is sealed; one too large for a record of ours goes by its position."""
    place = origin(record)
    outbox.send(topics.DEAD_LETTERS, place.encode(), encode(letter(record, place, reason, now_ms, ring, detail)))
    dead = Status(
        notification_id="",
        tenant="",
        user_id="",
        step=Step.DEAD,
        at_ms=now_ms,
        position=place,
        accepted_ms=record.timestamp,
        reason=reason.value,
    )
    outbox.send(topics.STATUSES, place.encode(), encode(dead))
    outbox.count(metrics.DECISIONS, lane.value, Step.DEAD.value, reason.value)
    outbox.count(metrics.BURIED, f"route.{lane.value}", reason.value)


def letter(record: Input, place: str, reason: Reason, now_ms: int, ring: KeyRing, detail: str = "") -> DeadLetter:
    """The dead letter of a record as it lies at `place`, sealed for that place."""
    body, bound = record.value, place.encode()
    small = body is not None and len(body) <= MAX_INPUT_BYTES
    return DeadLetter(
        cause=reason.value,
        detail=detail,
        position=place,
        key=ring.seal(record.key[:1024], bound) if record.key else None,
        body=ring.seal(body, bound) if small and body is not None else None,
        at_ms=now_ms,
    )
