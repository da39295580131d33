"""aiokafka's consumer's twin: what the client's thread of an engine asks of it, no more.

It promises less than the real one: after an assignment it may stand anywhere, and a fetch that was done before a seek
may still be handed over after it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, RequestTimedOutError
from aiokafka.structs import OffsetAndMetadata

from flows.engine.fetched import Fetched
from tests.simulation.broker import Broker, Place
from tests.simulation.clockwork import Clockwork
from tests.simulation.weather import Weather


class GroupConsumer:
    """aiokafka's consumer with its fetcher and coordinator in one, in the client's loop of one engine."""

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather, group: str) -> None:
        self._clockwork, self._broker, self._weather, self._group = clockwork, broker, weather, group
        self._fetcher = self._coordinator = self._subscriptions = self
        self._closed = False
        self._places: set[Any] = set()
        self._at: dict[Any, int] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._committing = asyncio.Lock()
        self.accepted: Callable[[], bool] = lambda: False
        """Whether the group takes a commit of this member."""

    # -- as the group and the broker see it ------------------------------------------------------------------------

    def assign(self, places: Iterable[Place]) -> None:
        """These partitions from now on: read from anywhere, until somebody seeks."""
        self._places = {TopicPartition(*place) for place in places}
        for place in sorted(self._places):
            known = self._broker.committed[self._group].get(place)
            if place not in self._at or (known is not None and self._clockwork.draw.random() < 0.5):
                self._at[place] = known or 0

    def wake(self) -> None:
        """Something may be there to be read."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def assignment(self) -> set[Any]:
        return self._places

    # -- fetching --------------------------------------------------------------------------------------------------

    def check_errors(self) -> None:
        """There are none."""

    def fetch_context(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def seek(self, place: Any, offset: int) -> None:
        self._at[place] = offset
        self.wake()

    async def fetched_records(self, partitions: set[Any], timeout: float, max_records: int) -> dict[Any, list[Fetched]]:
        """Records of the partitions that are wanted when it returns; waits for some."""
        while True:
            while not self._within(partitions):
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            await asyncio.sleep(self._weather.fetch_s())
            found = self._look(partitions, max_records)
            if lies_s := self._weather.stale_s():
                await asyncio.sleep(lies_s)
            if found:
                for place, records in found.items():
                    self._at[place] = records[-1].offset + 1
                return found

    def _within(self, partitions: set[Any]) -> bool:
        logs = self._broker.logs
        return any(logs[place].end > self._at[place] for place in partitions & self._places)

    def _look(self, partitions: set[Any], limit: int) -> dict[Any, list[Fetched]]:
        found = {}
        places = sorted(partitions & self._places)
        self._clockwork.draw.shuffle(places)
        for place in places:
            log, at = self._broker.logs[place], self._at[place]
            if records := log.read(at, limit):
                found[place] = records
                limit -= len(records)
                if not limit:
                    break
            else:
                self._at[place] = max(at, log.end)
        return found

    # -- offsets ---------------------------------------------------------------------------------------------------

    async def fetch_committed_offsets(self, places: Iterable[Any]) -> dict[Any, OffsetAndMetadata]:
        await asyncio.sleep(self._weather.wire_s())
        known = self._broker.committed[self._group]
        return {place: OffsetAndMetadata(known[place], "") for place in places if place in known}

    async def beginning_offsets(self, places: Iterable[Any]) -> dict[Any, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Iterable[Any]) -> dict[Any, int]:
        await asyncio.sleep(self._weather.wire_s())
        return {place: self._broker.logs[place].end for place in places}

    async def commit(self, offsets: Mapping[Any, OffsetAndMetadata]) -> None:
        """Commit. Raises CommitFailedError where the group refuses it, and a timeout that says nothing of it."""
        async with self._committing:
            await asyncio.sleep(self._weather.wire_s())
            if not self.accepted() or self._weather.refuses():
                raise CommitFailedError
            lost = self._weather.refuses()
            if not lost or self._clockwork.draw.random() < 0.5:
                self._broker.committed[self._group].update(
                    {(place.topic, place.partition): at.offset for place, at in offsets.items()}
                )
            await asyncio.sleep(self._weather.wire_s())
            if lost:
                raise RequestTimedOutError
