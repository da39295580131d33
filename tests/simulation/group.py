"""A consumer group: members that join, hear of a rebalance by their heartbeat, let go, and are given partitions.

The protocol is eager, as the engine's: everything is revoked at every rebalance. A static member that comes back
within its session gets what it had, and nobody else notices.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from faust.types import TP

from flows.engine.engine import Engine
from flows.engine.flow import Flow
from flows.engine.seams import Thread
from schemas.vocabulary import Lane
from tests.simulation.broker import Broker, Place
from tests.simulation.clockwork import Clockwork, Life
from tests.simulation.consumer import GroupConsumer
from tests.simulation.loop import Loop

HEARTBEAT_S = 1.0


class Sorted(set[TP]):
    """A set that is gone through in the same order each time: a seed has to be the same each time, too."""

    def __iter__(self) -> Iterator[TP]:
        return iter(sorted(super().__iter__()))


class ClientThread(Thread):
    """The engine's own thread of Faust's consumer, over the twin of aiokafka's and with a loop of the simulation."""

    def __init__(self, client: GroupConsumer, loop: Loop) -> None:
        self._twin, self.thread_loop = client, cast(Any, loop)
        self.member: Member

    def begin(self, member: "Member") -> None:
        """What `on_start` does once the client is there, and joining the group; in the thread's loop."""
        self.member = member
        self._membership = self.thread_loop.create_task(self._be_member())
        self.thread_loop.create_task(member.take_part())

    def _ensure_consumer(self) -> Any:
        return self._twin

    @property
    def heard_at(self) -> float:
        """As if a beat were answered at every moment, unless none is."""
        return self.member.heard_at()


class Member:
    """One engine's membership, a coroutine in its client's loop; what it tells the engine runs on the engine's."""

    def __init__(self, name: str, group: "Group", life: Life, main: Loop, engine: Engine, thread: ClientThread) -> None:
        self.name, self.life, self.joined, self.generation = name, life, False, -1
        self.silent_at: float | None = None
        self._group, self._main, self._engine = group, main, engine
        self._client = thread._ensure_consumer()
        self._client.accepted = lambda: group.accepts(self)
        self._client.cut_off = lambda: life.cut_at is not None
        self._heard_at = -math.inf
        self._assigned: asyncio.Future[set[Place]] | None = None
        self._rejoin = asyncio.Event()

    async def take_part(self) -> None:
        """Join, take, and let go again, until the process ends."""
        loop = asyncio.get_running_loop()
        while True:
            self._assigned, self._rejoin = loop.create_future(), asyncio.Event()
            self._group.join(self)
            places = await self._assigned
            self._client.assign(places)
            await self._on_main(self._engine.take(Sorted(TP(*place) for place in places)))
            await self._rejoin.wait()
            await self._on_main(self._engine.release())

    def heard_at(self) -> float:
        """When the group last counted on it, as far as it knows."""
        if self.life.cut_at is None and self._group.knows(self):
            self._heard_at = self._group.now
        return self._heard_at

    async def _on_main(self, work: Any) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._main))

    def given(self, generation: int, places: set[Place]) -> None:
        """The group has balanced."""
        self.generation = generation
        if self._assigned is not None and not self._assigned.done():
            self._assigned.set_result(places)

    def beat(self) -> None:
        """The heartbeat's answer says: join again."""
        self._rejoin.set()

    def missed(self) -> None:
        """It is silent from now on."""
        self._group.missed(self)

    def back(self) -> None:
        """It is heard of again."""
        self._group.back(self)

    def leave(self) -> None:
        """It ends in order."""
        self._group.leave(self)


class Group:
    """The coordinator's side of one group."""

    def __init__(
        self,
        flow: Flow,
        clockwork: Clockwork,
        broker: Broker,
        tell: Callable[[str], None],
    ) -> None:
        self._clockwork, self._broker, self._tell = clockwork, broker, tell
        self._name, self._topics = flow.group, [topic.name for topic in flow.stages]
        self._static, self._session_s = flow.lane is Lane.HIGH, flow.session_s
        self._members: dict[str, Member] = {}
        self._generation, self._stable = 0, True
        self._given: dict[str, set[int]] = {}

    def behind(self) -> Mapping[Place, tuple[int, int]]:
        """What is not committed to its end: (committed, end) by partition."""
        committed, found = self._broker.committed[self._name], {}
        for place in self.places():
            log = self._broker.logs.get(place)
            if log is not None and committed.get(place, 0) < log.read_to:
                found[place] = committed.get(place, 0), log.read_to
        return found

    def places(self) -> list[Place]:
        """Every partition the group reads."""
        return [(topic, number) for topic in self._topics for number in range(self._broker.partitions)]

    def join(self, member: Member) -> None:
        """A member is here, and holds nothing."""
        known = self._members.get(member.name)
        self._members[member.name] = member
        if self._static and self._stable and known is not None and known is not member and member.name in self._given:
            self._give(member)
            return
        member.joined = True
        self._balance()

    @property
    def now(self) -> float:
        return self._clockwork.now

    def knows(self, member: Member) -> bool:
        """Whether it answers a beat of this member as one of its own."""
        return self._members.get(member.name) is member

    def accepts(self, member: Member) -> bool:
        """Whether a commit of this member counts."""
        return self.knows(member) and member.generation == self._generation

    def missed(self, member: Member) -> None:
        """Its heartbeats have stopped: unless it comes back, its session runs out."""
        member.silent_at = self._clockwork.now
        self._clockwork.at(self._session_s, self._expire, None, member, self._clockwork.now)

    def leave(self, member: Member) -> None:
        """It ends in order. A static one says nothing, and is missed like any other."""
        if self._static:
            self.missed(member)
        elif self.knows(member):
            del self._members[member.name]
            self._balance()

    def _expire(self, member: Member, silent_at: float) -> None:
        if self.knows(member) and member.silent_at == silent_at:
            del self._members[member.name]
            self._given.pop(member.name, None)
            self._balance()

    def _balance(self) -> None:
        """Ask everybody in; once everybody is here, give the partitions out."""
        if self._stable:
            self._stable = False
            for member in self._members.values():
                self._heartbeat(member)
        if self._members and all(member.joined for member in self._members.values()):
            self._stable = True
            self._generation += 1
            names = sorted(self._members)
            turn = self._clockwork.draw.randrange(len(names))
            self._given = {name: set() for name in names}
            for number in range(self._broker.partitions):
                self._given[names[(number + turn) % len(names)]].add(number)
            for member in self._members.values():
                self._give(member)

    def _heartbeat(self, member: Member) -> None:
        if not member.joined:
            self._clockwork.at(self._clockwork.draw.random() * HEARTBEAT_S, member.beat, member.life)

    def back(self, member: Member) -> None:
        """It goes on after a standstill; if its place is lost, its next heartbeat says so."""
        member.silent_at = None
        if not self.knows(member) or not self._stable:
            self._heartbeat(member)

    def _give(self, member: Member) -> None:
        member.joined = False
        numbers = self._given[member.name]
        for number in numbers:
            self._broker.own(self._name, number, member.life)
        places = {place for place in self.places() if place[1] in numbers}
        self._tell(f"{member.name} is given {sorted(numbers)} of {self._topics[0]}")
        self._clockwork.at(self._clockwork.draw.random() * 0.01, member.given, member.life, self._generation, places)
