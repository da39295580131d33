"""bury: a record that cannot be used goes to the dead letters, with its cause and position, and is decided dead."""

from collections.abc import Callable

from agents.intake import origin
from agents.stage import Input, Outbox, Tables, position
from schemas import metrics, topics
from schemas.invalid import identity_of, writable
from schemas.records import MAX_INPUT_BYTES, DeadLetter, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason, Step


def bury(
    outbox: Outbox, record: Input, reason: Reason, now_ms: int, ring: KeyRing, lane: Lane, detail: str = ""
) -> None:
    """Bury an input record of route. Its body is sealed; one too large for a record of ours goes by its position."""
    place = origin(record)
    post(outbox, record, place, reason, now_ms, ring, detail, lane)
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


def post(
    outbox: Outbox,
    record: Input,
    place: str,
    reason: Reason,
    now_ms: int,
    ring: KeyRing,
    detail: str = "",
    lane: Lane | None = None,
) -> None:
    """Write the dead letter of a record as it lies at `place`, sealed for that place. `lane` is a notification's."""
    body, bound, whose = record.value, place.encode(), identity_of(record.value)
    small = body is not None and len(body) <= MAX_INPUT_BYTES
    dead = DeadLetter(
        cause=reason.value,
        detail=writable(detail),
        position=place,
        key=ring.seal(record.key[:1024], bound) if record.key else None,
        body=ring.seal(body, bound) if small and body is not None else None,
        at_ms=now_ms,
        notification_id=whose.notification_id(lane) if lane is not None else None,
        **whose._asdict(),
    )
    outbox.send(topics.DEAD_LETTERS, bound, encode(dead))


def bury_culprit(ring: KeyRing, clock: Callable[[], int]) -> Callable[[Input, str, Tables, Outbox], None]:
    """What becomes of a record on which a stage raised, in a flow that decides nothing: a dead letter alone."""

    def bury(record: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        post(outbox, record, position(record), Reason.STAGE_FAILED, clock(), ring, detail)

    return bury
