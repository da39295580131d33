"""What a drained seed has come to, held against the oracle and against the ledgers of the world outside.

Inputs are counted by their position, and what a replay says again is one decision or one end; two different ones are a
fault. An emission is not one transaction: of a process that was killed, a status may be in Kafka and the table's entry
that it follows from not. Such an end, told and not durable, does not count, where something was hurt; the durable one
does. The oracle is that of the chaos runs: one dict, slowly, and nothing of the engine.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from flows.engine.state.changelog import unpack
from schemas import topics
from schemas.channels import CHANNELS
from schemas.keys import HOME_BYTES
from schemas.vocabulary import Lane
from tables.attempts import State
from tables.attempts import unpack as unpack_attempt
from tests.chaos import oracle
from tests.simulation.broker import Broker
from tests.simulation.outside import ATTEMPTS, Rows, Sms
from tests.simulation.traffic import CULPRIT, Person

ENDS = {"sent", "unknown", "suppressed", "expired", "dead"}
RANKS = {"held": 1, "routed": 2, "retrying": 4, "suppressed": 5, "expired": 6, "unknown": 6, "dead": 6, "sent": 7}
Status = dict[str, Any]
Delivery = tuple[str, str, str]
"""Notification id, channel, address hash."""
Output = tuple[str, str, str]
"""User, idempotency key, channel."""
End = tuple[str, str]
"""Step and reason."""


class Audit:
    """The topics of one seed as they were left; `hurt` says whether a process ended out of order or stood still."""

    def __init__(self, broker: Broker, people: list[Person], *, hurt: bool) -> None:
        self._broker, self._people, self._hurt = broker, people, hurt
        self._statuses: list[Status] = [json.loads(r.value or b"") for r in broker.records(topics.STATUSES.name)]
        self._classes: dict[Delivery, str] = {}
        self._of_id: dict[str, set[Delivery]] = defaultdict(set)
        self._asked: dict[Output, set[str]] = defaultdict(set)
        """Notification ids of each (user, key, channel)."""
        for name in CHANNELS:
            for record in broker.records(topics.deliveries(name, Lane.HIGH).name):
                self._add(json.loads(record.value or b""))

    def _add(self, told: dict[str, Any]) -> None:
        delivery = told["notification_id"], told["channel"], told["address_hash"]
        self._classes[delivery] = told["class"]
        self._of_id[told["notification_id"]].add(delivery)
        self._asked[told["user_id"], told["idempotency_key"], told["channel"]].add(told["notification_id"])

    def faults(self, sms: Sms | None, rows: Rows | None) -> Iterator[str]:
        """Everything that is not as it must be. Deliveries and rows are looked at where they were worked."""
        yield from self._decisions()
        if sms is not None:
            yield from self._returns()
            yield from self._ends(sms)
            yield from self._calls(sms)
        if rows is not None:
            yield from self._rows(rows)

    # -- the first sum: every input ends in one decision -----------------------------------------------------------

    def _decisions(self) -> Iterator[str]:
        topic = topics.notifications(Lane.HIGH).name
        wanted, dead = self._wanted(topic)
        found: dict[oracle.Place, set[str]] = defaultdict(set)
        for status in self._statuses:
            where, partition, offset = status["position"].rsplit("/", 2)
            if where == topic:
                found[where, int(partition), int(offset)].add(_decision(status))
        for place in dead:
            if (told := found.pop(place, set())) != {"dead"}:
                yield f"{'decided otherwise' if told else 'lost'}: {place} is {told}, expected dead"
        for request in wanted.values():
            decided = {ask.place: found.pop(ask.place, set()) for ask in request.asks}
            if not all(decided.values()):
                yield f"lost: no decision for {[place for place in decided if not decided[place]]}"
            elif not self._fits(request, decided):
                yield f"decided otherwise: {decided}, expected {sorted(name for name, _ in request.plans)}"
        yield from (f"decided unasked: {place}" for place in found)
        outputs = {
            (request.user[1], str(request.body["idempotency_key"]), channel)
            for request in wanted.values()
            for channel, _ in request.targets
        }
        yield from (f"lost: no delivery for {output}" for output in outputs - set(self._asked))
        yield from (f"let through: a delivery for {output}" for output in set(self._asked) - outputs)
        yield from (f"let through: {output} under {ids}" for output, ids in self._asked.items() if len(ids) > 1)
        for id_, number in {s["notification_id"]: s["deliveries"] for s in self._statuses if _routed(s)}.items():
            if number != len(self._of_id[id_]):
                yield f"lost: {id_} was routed to {number}, and has {len(self._of_id[id_])} deliveries"

    def _wanted(self, topic: str) -> tuple[dict[str, oracle.Wanted], set[oracle.Place]]:
        """What the oracle says; everybody's last preference was known before the first request."""
        versions = [oracle.Version(0.0, 0.0, person) for person in self._people]
        records = (
            oracle.Record(
                (topic, record.partition, record.offset),
                None if CULPRIT.encode() in (record.value or b"") else record.value,
                record.timestamp / 1000,
            )
            for record in self._broker.records(topic)
        )
        decided: dict[str, float] = defaultdict(float)
        for status in self._statuses:
            decided[status["notification_id"]] = max(decided[status["notification_id"]], status["at_ms"] / 1000)
        return oracle.expect(records, oracle.People(versions, lambda acked, at: True), decided)

    def _fits(self, request: oracle.Wanted, decided: Mapping[oracle.Place, set[str]]) -> bool:
        alone = len({partition for _, partition, _ in decided}) == 1
        if any(len(told) > 1 for told in decided.values()) and (alone or not self._hurt):
            return False
        # Records of one request in two partitions: which is first may change where the first decision was not durable.
        return any(request.fits(dict(zip(decided, told, strict=True))) for told in product(*decided.values()))

    def _returns(self) -> Iterator[str]:
        topic = topics.returns(Lane.HIGH).name
        decided = {status["position"] for status in self._statuses}
        for record in self._broker.records(topic):
            if f"{topic}/{record.partition}/{record.offset}" not in decided:
                yield f"lost: no decision for {topic}/{record.partition}/{record.offset}"
        steps: dict[str, set[str]] = defaultdict(set)
        for status in self._statuses:
            if "channel" not in status:
                steps[status["notification_id"]].add(status["step"])
        yield from (f"lost: {id_} is held for ever" for id_, found in steps.items() if id_ and found == {"held"})

    # -- the second sum: every delivery ends once ------------------------------------------------------------------

    def _ends(self, sms: Sms) -> Iterator[str]:
        told: dict[Delivery, set[End]] = defaultdict(set)
        for status in self._statuses:
            if status.get("channel") == "sms" and status["step"] in ENDS and status["notification_id"]:
                delivery = status["notification_id"], "sms", status["address_hash"]
                told[delivery].add((status["step"], status.get("reason", "")))
        durable, revived = self._durable()
        wanted = {delivery for delivery in self._classes if delivery[1] == "sms"}
        for delivery in wanted:
            yield from self._ended(delivery, told[delivery], durable[delivery])
        yield from (f"ended unasked: {delivery}" for delivery in set(told) - wanted)
        yield from (f"ended twice: {delivery} went on after its end" for delivery in revived)
        yield from self._told_truly(sms, durable)

    def _ended(self, delivery: Delivery, told: set[End], durable: set[End]) -> Iterator[str]:
        if not durable and len(told) == 1 and self._hurt:
            yield f"forgotten: the changelog lacks the end of {delivery}, told {told}"
        elif not durable & told:
            yield f"lost: {delivery} has not ended: told {told}, durable {durable}"
        elif len(durable) > 1 or (told != durable and not self._hurt):
            yield f"ended twice: {delivery}, told {told}, durable {durable}"

    def _told_truly(self, sms: Sms, durable: Mapping[Delivery, set[End]]) -> Iterator[str]:
        """What the ends say against what the provider knows."""
        taken = {_delivery(call.ref) for call in sms.calls if call.sent}
        for (id_, channel, _), ends in durable.items():
            for step, reason in ends:
                if step == "sent" and (id_, channel) not in taken:
                    yield f"told sent, and never taken: {id_}"
                if step not in ("sent", "unknown") and (id_, channel) in taken:
                    yield f"taken, and told {step} {reason}: {id_}"

    def _durable(self) -> tuple[dict[Delivery, set[End]], set[Delivery]]:
        """The ends that the changelog of attempts has, and the deliveries that went on behind one."""
        ends: dict[Delivery, set[End]] = defaultdict(set)
        revived = set()
        by_channel = {delivery[:2]: delivery for delivery in self._classes}
        for record in self._broker.records(ATTEMPTS):
            for key, entry in unpack(record.value or b"").items():
                id_, channel, _ = key[HOME_BYTES:].decode().split("\x1f")
                delivery, attempt = by_channel.get((id_, channel), (id_, channel, "")), unpack_attempt(entry or b"")
                if attempt.state == State.ENDED:
                    ends[delivery].add((attempt.step, attempt.reason))
                elif ends.get(delivery):
                    revived.add(delivery)
        return ends, revived

    def _flagged(self, id_: str) -> bool:
        return any(s["notification_id"] == id_ and s.get("possible_duplicate") for s in self._statuses)

    # -- calls -----------------------------------------------------------------------------------------------------

    def _calls(self, sms: Sms) -> Iterator[str]:
        classes = {(id_, channel): kind for (id_, channel, _), kind in self._classes.items()}
        refs = Counter(call.ref for call in sms.calls)
        yield from (f"one attempt called twice: {ref}" for ref, times in refs.items() if times > 1)
        yield from (f"called before it was durable: {call.ref}" for call in sms.calls if not call.announced)
        taken = Counter(_delivery(call.ref) for call in sms.calls if call.sent)
        for delivery, times in taken.items():
            kind = classes.get(delivery)
            if kind is None:
                yield f"called unasked: {delivery}"
            elif times > 1 and kind != "otp":
                yield f"sent again: {kind} {times} times, {delivery}"
            elif times > 2 or (times > 1 and not self._flagged(delivery[0])):
                yield f"sent again: otp {times} times, unflagged, {delivery}"

    # -- rows ------------------------------------------------------------------------------------------------------

    def _rows(self, rows: Rows) -> Iterator[str]:
        highest: dict[str, int] = {}
        for status in self._statuses:
            id_, rank = status["notification_id"], RANKS.get(status["step"], 0)
            if id_ and rank:
                highest[id_] = max(rank, highest.get(id_, 0))
        for id_, rank in highest.items():
            kept = [int(item["rank"]["N"]) - 100 for item in rows.kept[id_]]
            if not kept or kept[-1] != rank:
                yield f"row behind: {id_} shows {kept[-1:]}, expected {rank}"
        yield from (f"row unasked: {id_}" for id_ in set(rows.kept) - set(highest) if rows.kept[id_])


def _routed(status: Status) -> bool:
    return "channel" not in status and status["step"] == "routed"


def _decision(status: Status) -> str:
    return f"routed:{status['deliveries']}" if status["step"] == "routed" else str(status["step"])


def _delivery(ref: str) -> tuple[str, str]:
    id_, channel, _ = ref.split(".", 2)
    return id_, channel
