"""The closed lists: classes, lanes, decisions, ends, steps and the reasons for each.

A reason is the metric label, the field of the status record and what `carillon trace` prints: one word for one thing.
"""

from dataclasses import dataclass
from enum import StrEnum


class Word(StrEnum):
    """A member of a closed list. It hashes as its text does: in C, where Enum's own hash is a Python call."""

    __hash__ = str.__hash__


class Lane(Word):
    """Where a class travels. Isolation between the two is the only priority there is."""

    HIGH = "high"
    LOW = "low"


class MessageClass(Word):
    """What kind of promise the sender made to the person."""

    OTP = "otp"
    TRANSACTIONAL = "transactional"
    BILLING = "billing"
    MARKETING = "marketing"


@dataclass(frozen=True, slots=True)
class ClassRule:
    """What a class implies.

    `deadline_s` counts from the append; `backoff_s` is the wait before each further attempt; `repeat_unknown` sends
    once more, the same text, after a call that may have sent.
    """

    lane: Lane
    deadline_s: int
    backoff_s: tuple[int, ...]
    repeat_unknown: bool


CLASSES: dict[MessageClass, ClassRule] = {
    MessageClass.OTP: ClassRule(Lane.HIGH, 5 * 60, (1, 2, 4), repeat_unknown=True),
    MessageClass.TRANSACTIONAL: ClassRule(Lane.HIGH, 24 * 3600, (1, 2, 4, 8), repeat_unknown=False),
    MessageClass.BILLING: ClassRule(Lane.HIGH, 72 * 3600, (1, 2, 4, 8), repeat_unknown=False),
    MessageClass.MARKETING: ClassRule(Lane.LOW, 24 * 3600, (1, 2, 4), repeat_unknown=False),
}


BEST = "best"
"""Stands in place of channels: the user's first preferred one that can be used."""


class Decision(Word):
    """How route ended one input record; each record ends in exactly one."""

    ROUTED = "routed"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"
    EXPIRED = "expired"
    DEAD = "dead"


class End(Word):
    """How one delivery ended; each delivery ends in exactly one."""

    SENT = "sent"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    DEAD = "dead"


class Step(Word):
    """What a status record reports: a decision of route, a move of deliver, or an end."""

    ROUTED = "routed"
    DUPLICATE = "duplicate"
    HELD = "held"
    RETRYING = "retrying"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    DEAD = "dead"
    SENT = "sent"


RANK: dict[Step, int] = {
    Step.HELD: 1,
    Step.ROUTED: 2,
    Step.RETRYING: 4,
    Step.SUPPRESSED: 5,
    Step.EXPIRED: 6,
    Step.UNKNOWN: 6,
    Step.DEAD: 6,
    Step.SENT: 7,
}
"""Order of steps within a round; a duplicate has no rank because it never changes a row."""


class Public(Word):
    """What a user of the store sees."""

    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"


PUBLIC: dict[Step, Public] = {
    Step.HELD: Public.PENDING,
    Step.ROUTED: Public.PENDING,
    Step.RETRYING: Public.PENDING,
    Step.SUPPRESSED: Public.FAILED,
    Step.EXPIRED: Public.FAILED,
    Step.UNKNOWN: Public.FAILED,
    Step.DEAD: Public.FAILED,
    Step.SENT: Public.SENT,
}


class Reason(Word):
    """Why: one phrase for every decision and end that needs one."""

    NONE = ""
    SAME_REQUEST = "same_request"
    OPTED_OUT = "opted_out"
    UNKNOWN_USER = "unknown_user"
    NO_ADDRESS = "no_address"
    ADDRESS_SUPPRESSED = "address_suppressed"
    PAST_DEADLINE = "past_deadline"
    PAST_WINDOW = "past_window"
    CONFLICT = "conflict"
    WRONG_LANE = "wrong_lane"
    UNREADABLE = "unreadable"
    UNDECRYPTABLE = "undecryptable"
    INVALID = "invalid"
    NEWER_SCHEMA = "newer_schema"
    UNKNOWN_CHANNEL = "unknown_channel"
    NULL_RECORD = "null_record"
    TOO_LARGE = "too_large"
    STAGE_FAILED = "stage_failed"
    NO_TEMPLATE = "no_template"
    TEMPLATE_UNAVAILABLE = "template_unavailable"
    BAD_TEMPLATE = "bad_template"
    RETRIES_SPENT = "retries_spent"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REFUSED = "refused"
