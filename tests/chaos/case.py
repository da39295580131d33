"""A run laid out for its audit: what was wanted, and what each ledger says of each place and each delivery."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

import oracle
from hurts import Hurts
from ledgers import Call, Ledgers, Place, Told, Waiting, hash_of

OPT_OUT_S = 2.0
"""How soon after its acknowledgement an opt-out is in force."""
ENDS = ("sent", "unknown", "suppressed", "expired", "dead")
Delivery = tuple[str, str, str]
"""Notification id, channel, SHA-256 of the address."""


@dataclass(slots=True)
class Case:
    """All of it. `dead` are the places that can only be dead letters; a decision is a status without a channel."""

    ledgers: Ledgers
    hurts: Hurts
    people: oracle.People
    wanted: Mapping[str, oracle.Wanted] = field(default_factory=dict)
    dead: set[Place] = field(default_factory=set)
    hostile: set[str] = field(default_factory=set)
    """Positions of the records that must have dead letters."""
    decisions: dict[Place, list[Told]] = field(default_factory=lambda: defaultdict(list))
    decided: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    moves: dict[Delivery, list[Told]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[Delivery, list[Call]] = field(default_factory=lambda: defaultdict(list))
    waiting: dict[Delivery, list[Waiting]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, ledgers: Ledgers, hurts: Hurts) -> Self:
        """Lay a run out."""
        found = [entry for entry in ledgers.accepted if entry.result == "ok"]
        versions = [
            oracle.Version(entry.t_due, entry.t_acked, oracle.person(entry.value))
            for entry in found
            if entry.kind == "preference"
        ]
        people = oracle.People(versions, lambda acked, at: hurts.healthy_s(acked, at) > OPT_OUT_S)
        case = cls(ledgers, hurts, people)
        case._take_told(ledgers.told, {hash_of(*address): named(address[1]) for address in people.addresses()})
        for call in sorted(ledgers.calls, key=lambda call: call.at):
            case.calls[call.id, call.channel, call.to_hash].append(call)
        records = (
            oracle.Record(place, entry.value, entry.appended, case._behind(place, entry.appended))
            for entry in found
            for place in [(entry.topic, entry.partition, entry.offset)]
            if entry.kind == "request"
        )
        last = {id_: max(told.at_ms for told in tolds) / 1000 for id_, tolds in case.decided.items()}
        case.wanted, case.dead = oracle.expect(records, people, last)
        hostile = [entry for entry in found if entry.kind == "hostile"]
        case.hostile = {f"{entry.topic}/{entry.partition}/{entry.offset}" for entry in hostile}
        case.dead |= {(e.topic, e.partition, e.offset) for e in hostile if e.topic != "preferences"}
        return case

    def _take_told(self, tolds: Sequence[Told], to_hashes: Mapping[str, str]) -> None:
        lying: dict[Place, Waiting] = {}
        for record in self.ledgers.waiting:
            lying[record.place] = record
            self.waiting[record.id, record.channel, to_hashes.get(record.address_hash, "")].append(record)
        for told in tolds:
            if not told.channel:
                self.decisions[told.place].append(told)
                if told.id:
                    self.decided[told.id].append(told)
            elif told.id:
                self.moves[told.id, told.channel, to_hashes.get(told.address_hash, "")].append(told)
            elif told.place in lying:  # buried unread: it is known by where it lay
                record = lying[told.place]
                self.moves[record.id, record.channel, to_hashes.get(record.address_hash, "")].append(told)

    def _behind(self, place: Place, appended: float) -> bool:
        """Whether a record was decided, by the clock of who did, before it was there."""
        return any(told.at_ms / 1000 < appended - 1.0 for told in self.decisions.get(place, ()))

    def ends(self, delivery: Delivery) -> set[str]:
        """How a delivery ended."""
        return {told.step for told in self.moves.get(delivery, ()) if told.step in ENDS}

    def is_flagged(self, delivery: Delivery) -> bool:
        """Whether it is told that it may have been sent more than once, or that nobody knows."""
        return any(told.flagged or told.step == "unknown" for told in self.moves.get(delivery, ()))

    def answered(self, id_: str) -> str:
        """The last decision of a notification by the log, whatever the clocks said: `routed:n` or a step."""
        tolds = self.decided.get(id_, ())
        return decision(tolds[-1]) if tolds else ""


def decision(told: Told) -> str:
    """A decision as the oracle says it."""
    return f"routed:{told.deliveries}" if told.step == "routed" else told.step


def named(address: str) -> str:
    """What the sandbox calls an address."""
    return sha256(address.encode()).hexdigest()


def targets(wanted: oracle.Wanted) -> set[Delivery]:
    """Every delivery that may come of a notification."""
    return {(wanted.id, channel, named(address)) for channel, address in wanted.targets}


def is_unclear(call: Call, deadline: float) -> bool:
    """Whether who made a call cannot tell from its answer what it came to: none, garbage, a 5xx, or one too late."""
    patience_s = min(2.9, max(0.9, deadline - call.at - 0.1))
    return not (call.answer.isdigit() and int(call.answer) < 500 and call.delay < patience_s)
