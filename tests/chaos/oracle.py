"""What must come of what was accepted, worked out a second time and slowly: no Kafka, nothing of the engine.

A request is one (tenant, lane, user, key); its first record decides and every later one is a duplicate or a conflict.
"First" is known only within a partition: where a request's records lie in several, any of them may be it. Where a
preference changed or a deadline came at about the time of the decision, more than one outcome is right: all are given.
"""

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

LANES = {"otp": "high", "transactional": "high", "billing": "high", "marketing": "low"}
DEADLINES_S = {"otp": 300, "transactional": 86_400, "billing": 259_200, "marketing": 86_400}
DEFAULT_ORDER = ("push", "sms", "email")
NAMESPACE = uuid.UUID("6f1d3c2e-8a5b-5d0e-9c47-b1f2a3d4e5f6")
Place = tuple[str, int, int]
"""Topic, partition, offset."""
Target = tuple[str, str]
"""Channel and address."""
Plan = tuple[str, frozenset[Target]]
"""A decision and the deliveries it means."""


@dataclass(frozen=True, slots=True)
class Record:
    """One input record: where it lies, when (epoch seconds) the broker appended it, and whether it was decided by a
    clock that was behind."""

    place: Place
    value: bytes | None
    appended: float
    behind: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A preference: when it was sent and when it was known to be durable (epoch seconds)."""

    sent: float
    acked: float
    person: Mapping[str, Any]

    def opens(self, channel: str) -> bool:
        """Whether its user can be reached on `channel` by something at least."""
        reached = {address["channel"] for address in self.person["addresses"] if address.get("verified", True)}
        return channel in reached and not self.refuses(channel, "*")

    def refuses(self, channel: str, category: str) -> bool:
        """Whether its user opted out of `category` on `channel`; of all of them, for `*`."""
        return any(
            choice.get("out", True) and choice["channel"] in (channel, "*") and choice["category"] in (category, "*")
            for choice in self.person.get("opt_outs", ())
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A readable record of a request. By a clock that was `behind` it may have been in time, whatever its deadline."""

    place: Place
    appended: float
    deadline: float
    body: Mapping[str, Any]
    behind: bool = False

    @property
    def in_time(self) -> bool:
        """Whether it came before its deadline, or it may have looked so."""
        return self.behind or self.deadline > self.appended

    def follows(self, first: "Ask") -> bool:
        """Whether it lies behind `first` for sure: then it is no more than a repeat, whatever its deadline."""
        return self.place[:2] == first.place[:2] and self.place > first.place


class People:
    """Everybody's preferences over time. `known(acked, at)` says whether what was durable at `acked` must be heeded by
    whoever acts at `at`; until then it may be."""

    def __init__(self, versions: Iterable[Version], known: Callable[[float, float], bool]) -> None:
        self._known = known
        self._history: dict[tuple[str, str], list[Version]] = defaultdict(list)
        for version in versions:
            self._history[version.person["tenant"], version.person["user_id"]].append(version)
        for history in self._history.values():
            history.sort(key=lambda version: (version.person["version"], version.acked))

    def heeded(self, user: tuple[str, str], since: float, until: float) -> list[Version | None]:
        """Every version that somebody who acts between the two may rightly go by; None is that there is none."""
        history = [version for version in self._history.get(user, ()) if version.sent <= until]
        must = max((n for n, version in enumerate(history) if self._known(version.acked, since)), default=-1)
        return [None, *history] if must < 0 else list(history[must:])

    def refuse(self, user: tuple[str, str], channel: str, category: str, at: float) -> bool:
        """Whether a call at `at` is against the user's will whichever version it goes by."""
        found = self.heeded(user, at, at)
        return all(version is not None and version.refuses(channel, category) for version in found)

    def may_refuse(self, user: tuple[str, str], channel: str, category: str, since: float, until: float) -> bool:
        """Whether some version that may be gone by between the two refuses."""
        found = self.heeded(user, since, until)
        return any(version is not None and version.refuses(channel, category) for version in found)

    def latest(self) -> dict[tuple[str, str], Version]:
        """The version of each user that holds in the end."""
        return {user: history[-1] for user, history in self._history.items()}

    def addresses(self) -> set[tuple[str, str]]:
        """Every (tenant, address) anybody ever had."""
        return {
            (version.person["tenant"], address["address"])
            for history in self._history.values()
            for version in history
            for address in version.person["addresses"]
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may become of a request: its plans; past its deadline it may expire instead. `asks` are in the order of
    their places; without any that was in time there is no plan."""

    id: str
    user: tuple[str, str]
    asks: Sequence[Ask]
    plans: frozenset[Plan]
    replays: frozenset[Plan]
    """What may become of it where it is decided once more: the same channels, as far as they are reached by then."""
    until: float

    @property
    def body(self) -> Mapping[str, Any]:
        """What is asked for."""
        return self.asks[0].body

    @property
    def kind(self) -> str:
        """Its class."""
        return str(self.body["class"])

    @property
    def deadline(self) -> float:
        """When it is of no use any more."""
        return max(ask.deadline for ask in self.asks)

    @property
    def targets(self) -> frozenset[Target]:
        """Everything that may be called."""
        return frozenset(target for _, targets in self.plans | self.replays for target in targets)

    @property
    def certain(self) -> bool:
        """Whether there is but one plan."""
        return len(self.plans) == 1

    def text_hashes(self, template: str, expired: Collection[Place] = ()) -> set[str]:
        """SHA-256 of the text of each record that may have decided, those `expired` by the clock of who looked too."""
        return {
            sha256(re.sub(r"\{\{(\w+)\}\}", partial(_param, ask.body["params"]), template).encode()).hexdigest()
            for ask in (*self._firsts(), *self._firsts(expired))
        }

    def fits(self, found: Mapping[Place, str], again: Collection[Place] = ()) -> bool:
        """Whether these decisions, one for each place, may stand together; some were told `again`."""
        if not self.plans:
            return all(decision == "expired" for decision in found.values())
        expired = {place for place, decision in found.items() if decision == "expired"}
        # What was decided in time and expired in a replay owns its key all the same.
        firsts = (*self._firsts(expired), *self._firsts(expired - {*again}))
        return any(self._fits_after(first, found, again) for first in firsts)

    def _firsts(self, expired: Collection[Place] = ()) -> Sequence[Ask]:
        """The records that may have decided: what expired before it was looked at leaves that to the next."""
        in_time = [ask for ask in self.asks if ask.in_time and ask.place not in expired] or self.asks
        alone = len({ask.place[:2] for ask in in_time}) == 1
        return in_time[:1] if alone else in_time

    def _fits_after(self, first: Ask, found: Mapping[Place, str], again: Collection[Place]) -> bool:
        decided = found[first.place] != "expired"
        for ask in self.asks:
            decision = found[ask.place]
            if decision == "expired":
                if ask.deadline > self.until or (decided and ask.follows(first)):
                    return False
            elif ask is first:
                plans = self.plans | self.replays if ask.place in again else self.plans
                if decision not in {decision for decision, _ in plans}:
                    return False
            else:
                repeat = "duplicate" if _request(ask.body) == _request(first.body) else "dead"
                if decision != repeat or not (decided or first.place in again):
                    return False
        return True


def person(value: bytes | None) -> dict[str, Any]:
    """A preference from its record."""
    return dict(json.loads(value or b"{}"))


def expect(
    records: Iterable[Record], people: People, decided: Mapping[str, float]
) -> tuple[dict[str, Wanted], set[Place]]:
    """What is wanted of each notification id, and the places of the records that can only be dead letters.

    `decided` is when (epoch seconds) each id was decided for the last time, which bounds what could be known by then.
    """
    asked: dict[str, list[Ask]] = defaultdict(list)
    dead: set[Place] = set()
    for record in records:
        body = _read(record)
        if body is None:
            dead.add(record.place)
            continue
        given = body.get("deadline")
        due = datetime.fromisoformat(given).timestamp() if given else record.appended + DEADLINES_S[body["class"]]
        asked[_id(body)].append(Ask(record.place, record.appended, due, body, record.behind))
    return {id_: _wanted(id_, asks, people, decided.get(id_, float("inf"))) for id_, asks in asked.items()}, dead


def _wanted(id_: str, asks: list[Ask], people: People, until: float) -> Wanted:
    asks.sort(key=lambda ask: ask.place)
    body = asks[0].body
    user = (body["tenant"], body["user_id"])
    in_time = [ask.appended for ask in asks if ask.in_time]
    # Clocks of two processes: what was decided within a second may have been decided before.
    until = max(until, *(ask.appended for ask in asks)) + 1.0
    versions = people.heeded(user, min(in_time), until) if in_time else []
    plans = {_plan(body, version) for version in versions}
    channels = {frozenset(channel for channel, _ in targets) for _, targets in plans}
    replays = {_plan(body, version, among) for version in versions if version for among in channels if among}
    return Wanted(id_, user, tuple(asks), frozenset(plans), frozenset(replays), until)


def _read(record: Record) -> dict[str, Any] | None:
    try:
        body = json.loads(record.value or b"")
    except ValueError:
        return None
    if not isinstance(body, dict) or body.get("schema", 1) > 1:
        return None
    if LANES.get(body.get("class", "")) != record.place[0].rpartition(".")[2]:
        return None
    channels = body.get("channels")
    named = channels if isinstance(channels, list) else [channels]
    if "template_id" not in body or not named or not set(named) <= {"best", *DEFAULT_ORDER}:
        return None
    return body


def _param(params: Mapping[str, Any], name: re.Match[str]) -> str:
    return str(params[name[1]])


def _request(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, without the producer's clock."""
    return {name: value for name, value in body.items() if name != "produced_at"}


def _id(body: Mapping[str, Any]) -> str:
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((
        body["tenant"], LANES[body["class"]], body["user_id"], body["idempotency_key"],
    ))))  # fmt: skip


def _plan(body: Mapping[str, Any], version: Version | None, among: Collection[str] = ()) -> Plan:
    """What is to become of a request by a version; of a replay, among the channels that were decided before."""
    if version is None:
        return "held", frozenset()
    order = [*version.person.get("preferred", []), *DEFAULT_ORDER]
    found: dict[str, list[str]] = defaultdict(list)
    for address in version.person["addresses"]:
        channel = address["channel"]
        if address.get("verified", True) and not version.refuses(channel, body["category"]):
            found[channel].append(address["address"])
    wish = among or body["channels"]
    chosen = sorted(found, key=order.index)[:1] if wish == "best" else [channel for channel in found if channel in wish]
    reached = {channel: found[channel] if channel == "push" else found[channel][:1] for channel in chosen}
    targets = frozenset((channel, address) for channel, addresses in reached.items() for address in addresses)
    return (f"routed:{len(targets)}", targets) if targets else ("suppressed", targets)
