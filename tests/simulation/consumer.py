"""The clients' twins: aiokafka's as a member of a group, and librdkafka's consumer as a reader uses it; no more."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.errors import CommitFailedError, RequestTimedOutError
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka import OFFSET_END

from flows.engine.kafka.fetched import Fetched
from tests.simulation.broker import Broker, Place
from tests.simulation.clients import Message
from tests.simulation.clockwork import Clockwork
from tests.simulation.weather import Weather

SELDOM = 4
"""Times that a partition is assigned, of which one at most brings what was fetched before."""


class FetchingConsumer:
    """librdkafka's consumer with partitions assigned by hand, polled on the loop of its process.

    The real one brings nothing that was fetched before a partition was assigned. This one does, by itself and seldom.
    """

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather) -> None:
        assert clockwork.life is not None, "a process makes its consumers"
        self._clockwork, self._broker, self._weather, self._life = clockwork, broker, weather, clockwork.life
        self._at: dict[Place, int] = {}
        self._turn: Counter[Place] = Counter()
        """How often each partition was assigned."""
        self._slipped: dict[Place, int] = {}
        """The turn in which something older came last."""
        self._arrived: deque[list[Message]] = deque()
        self._fetching = False
        broker.heard.append(self._hear)
        self._life.at_end.append(lambda: broker.heard.remove(self._hear))

    def incremental_assign(self, places: Iterable[Any]) -> None:
        """Read these from their offsets on."""
        for place in places:
            wanted = place.topic, place.partition
            assert wanted not in self._at, "the real one refuses it"
            self._at[wanted] = place.offset if place.offset != OFFSET_END else self._broker.logs[wanted].end
            self._turn[wanted] += 1
        self._fetch_soon()

    def incremental_unassign(self, places: Iterable[Any]) -> None:
        """Read these no more."""
        for place in places:
            del self._at[place.topic, place.partition]
        self._arrived = deque([message for message in found if message.place in self._at] for found in self._arrived)

    def _hear(self, record: Fetched) -> None:
        if (record.topic, record.partition) in self._at:
            self._fetch_soon()

    def _fetch_soon(self) -> None:
        if not self._fetching:
            self._fetching = True
            self._clockwork.at(self._weather.fetch_s(), self._fetch, self._life)

    def _fetch(self) -> None:
        places = sorted(self._at)
        self._clockwork.draw.shuffle(places)
        found: list[tuple[Place, int, list[Message]]] = []
        for place in places:
            log, at = self._broker.logs[place], self._at[place]
            records = log.read(at, self._weather.restore_records())
            self._at[place] = records[-1].offset + 1 if records else max(at, log.end)
            if records:
                found.append((place, self._turn[place], [Message(record, place, record.offset) for record in records]))
        if found:
            self._clockwork.at(self._weather.stale_s(), self._arrive, self._life, found)
        else:
            self._fetching = False

    def _arrive(self, found: list[tuple[Place, int, list[Message]]]) -> None:
        current: list[Message] = []
        for place, turn, messages in found:
            now = self._turn[place]
            if turn == now and place in self._at:
                current += messages
            elif now - self._slipped.get(place, -SELDOM) >= SELDOM:
                self._slipped[place] = now
                self._arrived.append(messages)
        self._arrived.append(current)
        self._fetching = False
        self._fetch_soon()

    def consume(self, count: int, timeout: float) -> list[Message]:
        """What has arrived."""
        while self._arrived and not self._arrived[0]:
            self._arrived.popleft()
        if not self._arrived:
            return []
        first = self._arrived[0]
        found, first[:count] = first[:count], []
        return found

    def list_topics(self, topic: str, timeout: float) -> None:
        """It knows where everything lies."""

    def get_watermark_offsets(self, place: Any, cached: bool) -> tuple[int, int]:
        """For gauges, which nobody looks at here."""
        return 0, -1

    def close(self) -> None:
        """Nothing is held."""


class GroupConsumer:
    """aiokafka's consumer with its fetcher and coordinator in one, in the client's loop of one engine."""

    def __init__(self, clockwork: Clockwork, broker: Broker, weather: Weather, group: str) -> None:
        self._clockwork, self._broker, self._weather, self._group = clockwork, broker, weather, group
        self._fetcher = self._coordinator = self._subscriptions = self
        self._fetch_task = self
        self._closed = False
        self._places: set[Place] = set()
        self._committing = asyncio.Lock()
        self.accepted: Callable[[], bool] = lambda: False
        """Whether the group takes a commit of this member."""
        self.cut_off: Callable[[], bool] = lambda: False

    def assign(self, places: Iterable[Place]) -> None:
        """These partitions from now on."""
        self._places = set(places)

    def assignment(self) -> set[Place]:
        return self._places

    def cancel(self) -> None:
        """It never fetches."""

    def check_errors(self) -> None:
        """There are none."""

    def fetch_context(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

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
            if self.cut_off():
                raise RequestTimedOutError
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
