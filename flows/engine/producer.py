"""What a flow writes, by two lines; an emission tells when it is durable.

Records that somebody waits for go soon; those that only the commit waits for linger until there are many.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from agents.stage import Outgoing
from flows.clock import now_ms
from flows.engine.kafka.line import Line, Placed
from flows.engine.kafka.queued import Emission, Logged, Then
from flows.engine.state.changelog import pack
from flows.engine.state.tables import Changes

LINGER_MS = 50.0
"""How long records linger that only the commit waits for; a tenth of what lies between two commits."""


class Lines:
    """The lines of a process: one for each time that records linger, whichever flow they are of."""

    def __init__(self, brokers: str, client_id: str) -> None:
        self._brokers, self._client_id = brokers, client_id
        self._made: dict[float, Line] = {}
        self.guards: list[Callable[[], bool]] = []
        """As `line.Guards`: each flow of the process has one."""

    def of(self, linger_ms: float) -> Line:
        """The line whose records linger that long."""
        if linger_ms not in self._made:
            self._made[linger_ms] = Line(self._brokers, linger_ms, self._client_id, self.guards)
        return self._made[linger_ms]

    async def start(self) -> None:
        """Start all that were made. Raises Unreachable."""
        for line in self._made.values():
            await line.start()

    async def stop(self) -> None:
        """Close what was started."""
        for line in self._made.values():
            await line.stop()


class FlowProducer:
    """What one flow writes. Records of the topics in `lingering` go by a line of their own."""

    def __init__(self, prompt: Line, patient: Line, lingering: Collection[str]) -> None:
        self._prompt, self._patient = prompt, patient
        self._lingering = frozenset(lingering)
        self.in_flight = 0
        """Emissions not wholly acknowledged."""

    def emit(
        self, records: Sequence[Outgoing], changelogs: Sequence[Changes], durable: Then, whole: Then, logged: Logged
    ) -> None:
        """Write `records` and the entries of `changelogs`.

        `durable` runs when all but what lingers is acknowledged, `whole` after it, when everything is; at once where
        there is nothing to wait for.
        """
        self.in_flight += 1

        def wholly() -> None:
            self.in_flight -= 1
            whole()

        def promptly() -> None:
            durable()
            rest.less()

        # One each for this method, and for what is prompt one of the rest: neither ends before all is produced.
        began, at_ms = asyncio.get_running_loop().time(), now_ms()
        rest = Emission(2, began, at_ms, wholly, logged)
        prompt = Emission(1, began, at_ms, promptly, logged)
        lingering, choose = self._lingering, self._prompt.choose
        now: list[Placed] = []
        later: list[Placed] = []
        for topic, key, value, partition, headers in records:
            place = topic, partition if partition >= 0 else choose(topic, key)
            (later if topic in lingering else now).append((place, key, value, headers))
        self._prompt.produce(now, prompt)
        self._patient.produce(later, rest)
        for topic, partition, entries in changelogs:
            line, emission = (self._patient, rest) if topic in lingering else (self._prompt, prompt)
            line.produce([((topic, partition), None, value, None) for value in pack(entries)], emission, logged=True)
        prompt.less()
        rest.less()

    async def room(self) -> None:
        """Wait until there is room for a batch."""
        await self._prompt.room()
        await self._patient.room()

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has (0 where it is unknown)."""
        return self._prompt.partitions(topic)
