"""The reckoning: what the topics and the store say, read by somebody who took no part.

Two sums must close. Every record of an input topic has one decision under its position; every delivery that routed
decisions announced has one end. The rows of the store are held against the statuses, the providers' ledger against the
deliveries.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas import topics
from schemas.channels import CHANNELS
from schemas.records import Delivery, Status
from schemas.topics import Topic
from schemas.vocabulary import PUBLIC, RANK, End, Lane, Step

_status = msgspec.json.Decoder(Status).decode
_delivery = msgspec.json.Decoder(Delivery).decode
_ENDS = frozenset(Step(end.value) for end in End)
NAMED = 5
"""How many of what is missing are named."""

DeliveryId = tuple[str, int, str, str]
"""notification id, round, channel, address hash"""


@dataclass(slots=True)
class Intake:
    """One input topic: its records, and the decisions found for their positions by (step, reason)."""

    topic: str
    records: int = 0
    decided: int = 0
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(slots=True)
class Reckoning:
    """What was found. `missing` names all that does not add up; it is empty when both sums close."""

    intakes: list[Intake] = field(default_factory=list)
    held: int = 0
    announced: int = 0
    ended: int = 0
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Deliveries by (channel, end, reason)."""
    retried: Counter[str] = field(default_factory=Counter)
    """Further attempts by channel."""
    rows: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    example: str | None = None
    """A notification worth a look: one that was sent after another attempt, else any that was sent."""


Records = Iterable[tuple[str, bytes | None]]
"""(position, value) of each record of a topic."""


class Audit:
    """Takes the sums of what `read` gives for a topic."""

    def __init__(self, read: Callable[[Topic], Records]) -> None:
        self._read = read
        self.reckoning = Reckoning()
        self._decisions: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._announced: dict[tuple[str, int], int] = defaultdict(int)
        self._routed: set[str] = set()
        self._retried: set[tuple[str, int, str | None, str | None, int]] = set()
        self._ends: dict[DeliveryId, set[tuple[str, str]]] = defaultdict(set)
        self._ranks: dict[str, tuple[int, Step]] = {}

    def take(self, rows: Iterable[Mapping[str, Any]]) -> Reckoning:
        """Read the topics, take both sums, and hold `rows` (in DynamoDB's types) against the statuses."""
        for _, value in self._read(topics.STATUSES):
            self._note(_status(value or b""))
        for lane in Lane:
            for topic in (topics.notifications(lane), topics.returns(lane)):
                self._count(topic)
        self._second_sum()
        self._rows(rows)
        return self.reckoning

    def due(self) -> dict[str, list[tuple[int, str]]]:
        """For each attempt, by the reference its provider got: when it was due (epoch ms) and the message class."""
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for channel in CHANNELS:
            for lane in Lane:
                for _, value in self._read(topics.deliveries(channel, lane)):
                    one = _delivery(value or b"")
                    ref = f"{one.notification_id}.{one.channel}.{one.round}.{one.attempt}"
                    found[ref].append((one.due_ms, one.message_class))
        return found

    def _note(self, status: Status) -> None:
        result = self.reckoning
        if status.channel is None:
            self._decisions[status.position].add((status.step, status.reason))
            if status.step is Step.ROUTED and status.position not in self._routed:
                self._routed.add(status.position)
                self._announced[status.notification_id, status.round] += status.deliveries
        elif status.step in _ENDS:
            delivery = (status.notification_id, status.round, status.channel, status.address_hash or status.position)
            self._ends[delivery].add((status.step, status.reason))
            if status.step is Step.SENT and (result.example is None or status.attempt > 1):
                result.example = status.notification_id
        elif status.step is Step.RETRYING:
            attempt = (status.notification_id, status.round, status.channel, status.address_hash, status.attempt)
            if attempt not in self._retried:
                self._retried.add(attempt)
                result.retried[status.channel] += 1
        rank = RANK.get(status.step)
        if rank is not None and status.notification_id:
            found = (status.round * 100 + rank, status.step)
            self._ranks[status.notification_id] = max(found, self._ranks.get(status.notification_id, found))

    def _count(self, topic: Topic) -> None:
        """The first sum, of one topic."""
        intake = Intake(topic.name)
        without: list[str] = []
        torn: list[str] = []
        for position, _ in self._read(topic):
            intake.records += 1
            decisions = self._decisions.get(position, set())
            if len(decisions) == 1:
                intake.decided += 1
                intake.decisions.update(decisions)
            else:
                (torn if decisions else without).append(position)
        result = self.reckoning
        result.intakes.append(intake)
        result.held += sum(count for (step, _), count in intake.decisions.items() if step == Step.HELD)
        result.missing += _named(f"records of {topic.name} without a decision", without)
        result.missing += _named(f"records of {topic.name} with more than one decision", torn)

    def _second_sum(self) -> None:
        result = self.reckoning
        ended: Counter[tuple[str, int]] = Counter()
        for (id_, round_, channel, _), ends in self._ends.items():
            ended[id_, round_] += 1
            for end, reason in ends:
                result.ends[channel, end, reason] += 1
        result.announced, result.ended = sum(self._announced.values()), sum(ended.values())
        short = [id_ for (id_, round_), count in self._announced.items() if ended[id_, round_] < count]
        extra = [id_ for (id_, round_), count in ended.items() if self._announced.get((id_, round_), 0) < count]
        twice = [delivery[0] for delivery, ends in self._ends.items() if len(ends) > 1]
        result.missing += _named("notifications with a delivery that has no end", short)
        result.missing += _named("notifications with an end that no decision announced", extra)
        result.missing += _named("notifications with a delivery that has two ends", twice)
        returned = sum(intake.records for intake in result.intakes if intake.topic in _RETURNS)
        if returned != result.held:
            result.missing.append(f"{result.held} records were held and {returned} came back")

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        stored = {row["notification_id"]["S"]: row for row in rows}
        self.reckoning.rows.update(row["status"]["S"] for row in stored.values())
        lacking = [id_ for id_ in self._ranks if id_ not in stored]
        wrong = [
            id_ for id_, (rank, step) in self._ranks.items() if id_ in stored and not _agrees(stored[id_], rank, step)
        ]
        unheard = [id_ for id_ in stored if id_ not in self._ranks]
        self.reckoning.missing += _named("notifications without a row", lacking)
        self.reckoning.missing += _named("rows that differ from the statuses", wrong)
        self.reckoning.missing += _named("rows without a status", unheard)


_RETURNS = frozenset(topics.returns(lane).name for lane in Lane)


def _agrees(row: Mapping[str, Any], rank: int, step: Step) -> bool:
    return int(row["rank"]["N"]) == rank and (row["status"]["S"] == PUBLIC[step])


def _named(what: str, found: list[str]) -> list[str]:
    if not found:
        return []
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{len(found)} {what}: {', '.join(found[:NAMED])}{more}"]
