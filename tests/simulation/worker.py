"""One worker: a name and a disk that outlive its processes, and the process it runs just now.

The process stands for `flows.engine.host.process` and for Faust's app: it hosts the real engines of the real flows,
beats for them, and ends them in order. Everything below `Engine` is the engine's own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from flows.engine.engine import Engine
from flows.engine.flow import Flow
from flows.engine.kafka.reader import Readers
from flows.engine.producer import Lines
from schemas.errors import Unreachable
from schemas.sealing import KeyRing
from tables.table import Entries
from tests.simulation.broker import Broker
from tests.simulation.clockwork import Clockwork, Life
from tests.simulation.consumer import GroupConsumer
from tests.simulation.group import ClientThread, Group, Member
from tests.simulation.loop import Loop
from tests.simulation.state import Disk, Silence
from tests.simulation.weather import Weather

BEAT_S = 0.5
Flows = Callable[[], Sequence[Flow]]


class Stream:
    """A Faust stream over a channel that is a queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    @property
    def channel(self) -> "Stream":
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self.queue.get()


class App:
    """As much of a Faust app as an engine asks for."""

    def __init__(self) -> None:
        self.owner: Any = None
        self.topics: set[str] = set()
        self.consumer = self
        self.thread: Any = None
        self.run: Callable[[Any], Any] | None = None

    def topic(self, name: str, **_: object) -> str:
        return name

    def channel(self, **_: object) -> None:
        """The stream brings its own."""

    def agent(self, channel: object, name: str) -> Callable[[Any], None]:
        def take(run: Any) -> None:
            self.run = run

        return take


class Worker:
    """A worker that can be hurt."""

    def __init__(
        self,
        name: str,
        flows: Flows,
        groups: Mapping[str, Group],
        *,
        clockwork: Clockwork,
        broker: Broker,
        weather: Weather,
        ring: KeyRing,
        replicated: Mapping[str, Entries],
        tell: Callable[[str], None],
    ) -> None:
        self.name, self._flows, self._groups, self._tell = name, flows, groups, tell
        self._clockwork, self._broker, self._weather, self._ring = clockwork, broker, weather, ring
        self._replicated = replicated
        self.disk: Disk = {}
        self.lines: Lines
        self.life: Life | None = None
        self.engines: list[Engine] = []
        self.members: list[Member] = []
        self.threads: list[ClientThread] = []
        self._wanted = False

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self.life is not None and self.life.alive

    def start(self) -> None:
        """Start a process, which joins its groups."""
        self._wanted = True
        if self.running:
            return
        self._tell(f"{self.name} starts")
        life = self._clockwork.life = self.life = Life(self._clockwork, self.name)
        life.at_end.append(self._ended)
        main = Loop(self._clockwork, life)
        self.engines, self.members, self.threads = [], [], []
        self.lines = lines = Lines("", self.name)
        readers = Readers("", self.name)
        for flow in self._flows():
            app = App()
            engine = Engine(
                flow,
                cast(Any, app),
                brokers="",
                lines=lines,
                readers=readers,
                folder=Path(self.name),
                ring=self._ring,
                meters=Silence(),
                replicated=self._replicated,
                pool=cast(Any, None),
            )
            self._client(app, engine, main, life)
            assert app.run is not None
            main.create_task(app.run(Stream()))
        self._begun = main.create_task(self._run(life, readers))
        self._clockwork.life = None

    def _client(self, app: App, engine: Engine, main: Loop, life: Life) -> None:
        group = self._groups[engine.flow.name]
        consumer = GroupConsumer(self._clockwork, self._broker, self._weather, engine.flow.group)
        app.thread = thread = ClientThread(consumer, Loop(self._clockwork, life))
        member = Member(self.name, group, life, main, engine, thread)
        self.engines.append(engine)
        self.members.append(member)
        self.threads.append(thread)

    async def _run(self, life: Life, readers: Readers) -> None:
        """As `Process.run`: it beats before it joins."""
        engines, clients = self.engines, list(zip(self.threads, self.members, strict=True))
        try:
            await self.lines.start()
        except Unreachable:
            life.end()
            return
        asyncio.get_running_loop().create_task(self._beat(engines))
        for engine in engines:
            await engine.start_outside()
        for thread, member in clients:
            thread.thread_loop.call_soon_threadsafe(thread.begin, member)
        readers.start()

    async def _beat(self, engines: Sequence[Engine]) -> None:
        while True:
            for engine in engines:
                engine.tenure.beat()
            await asyncio.sleep(BEAT_S)

    def _ended(self) -> None:
        self._tell(f"{self.name} is gone")
        for member in self.members:
            member.missed()
        if self._wanted:
            self._clockwork.at(self._clockwork.draw.choice((0.3, 1.0, 8.0)), self._again)

    def _again(self) -> None:
        if self._wanted:
            self.start()

    # -- being hurt ------------------------------------------------------------------------------------------------

    def kill(self, *, wipe: bool = False) -> None:
        """SIGKILL; it is started again soon. `wipe` loses its disk."""
        if self.running:
            assert self.life is not None
            self.life.end()
        if wipe:
            self.disk.clear()

    def light(self, points: int) -> None:
        """Let it be killed that many points from now, wherever it is then; 0 puts the fuse out."""
        if self.running:
            assert self.life is not None
            self.life.fuse = points

    def stand_still(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        life = self.life
        if life is None or not life.moves:
            return
        life.stand_still()
        for member in self.members:
            member.missed()
        self._clockwork.at(seconds, self._go_on, None, life, list(self.members))

    def cut_off(self, seconds: float) -> None:
        """Its way to the brokers is broken for so long; it works on."""
        life = self.life
        if life is None or not life.alive or life.cut_at is not None:
            return
        for member in self.members:
            member.heard_at()
            member.missed()
        life.cut_off()
        self._clockwork.at(seconds, self._heard_again, None, life, list(self.members))

    def _heard_again(self, life: Life, members: Sequence[Member]) -> None:
        life.cut_at = None
        if life.alive:
            for member in members:
                member.back()

    def _go_on(self, life: Life, members: Sequence[Member]) -> None:
        life.go_on()
        if life.alive:
            for member in members:
                member.back()

    def retire(self) -> None:
        """End it for good."""
        self._wanted = False
        self.kill()

    def terminate(self) -> None:
        """SIGTERM: it ends in order, and is started again later."""
        if self.running:
            assert self.life is not None
            life = self.life
            life.loops[0].call_soon_threadsafe(lambda: life.loops[0].create_task(self._end(life)))

    async def _end(self, life: Life) -> None:
        """As `Process._end`. Until the app has stopped, the group still tells it of rebalances."""
        engines, members, lines = self.engines, self.members, self.lines
        await self._begun
        await asyncio.gather(*(engine.tenure.end() for engine in engines))
        await asyncio.sleep(self._weather.wire_s())
        for member in members:
            member.leave()
        for engine in engines:
            if engine.flow.outside is not None and engine.flow.outside.stop is not None:
                await engine.flow.outside.stop()
            await engine.tenure.close()
        await lines.stop()
        life.end()
