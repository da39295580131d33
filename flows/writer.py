"""Writes rows: the latest of each id, gathered for a second, 25 a request, until the store has taken them.

A row that is still pending waits longer for its end: most have one soon, and are then written once instead of twice.

Requests are spread over the second in which the next rows gather: all at once they would be felt by every process of
the machine, and meet the limits of the store.

A row whose partition was given up is dropped unwritten, since the next owner writes it: whoever waits for it is
cancelled, and ends only when no request with it is under way any more, which could land over the next owner's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

from agents.record import Write, WritePreference
from agents.stage import Tables
from flows.clients import BATCH, Rows
from flows.engine.stop import die
from schemas.channels import CHANNELS
from schemas.vocabulary import Public
from tables.progress import Row

GATHER_S = 1.0
PENDING_S = 2.0
"""How long a pending row waits for its end; with the gathering, less than a drain lasts."""
KEEP_S = 30 * 24 * 3600
"""Life of a row in the store (its TTL attribute)."""
REQUESTS = 2
"""Requests under way at a time. What waits for its turn can still be given up; a request cannot."""
_PATIENCE_S = (0.1, 0.5, 1.0, 2.0)

log = logging.getLogger("carillon.record")
Item = dict[str, Any]
Place = tuple[str, str, str]
"""A row's table and key."""


def row_item(row: Row) -> Item:
    """A row in DynamoDB's types."""
    item: Item = {
        "notification_id": {"S": row.notification_id},
        "user_id": {"S": row.user_id},
        "tenant": {"S": row.tenant},
        "status": {"S": row.public},
        "step": {"S": row.step},
        "retry_count": {"N": str(row.retry_count)},
        "created_at": {"S": datetime.fromtimestamp(row.created_ms / 1000, UTC).isoformat(timespec="milliseconds")},
        "updated_at": {"S": datetime.fromtimestamp(row.updated_ms / 1000, UTC).isoformat(timespec="milliseconds")},
        "rank": {"N": str(row.round * 100 + row.rank)},
        "expires_at": {"N": str(row.created_ms // 1000 + KEEP_S)},
    }
    optional = {
        "reason": row.reason,
        "channel": row.channel,
        "provider": row.provider,
        "provider_message_id": row.provider_message_id,
    }
    return item | {name: {"S": value} for name, value in optional.items() if value}


def preference_items(write: WritePreference) -> list[Item]:
    """A user's channels: enabled where there is a verified address and no opt-out from everything."""
    preference = write.preference
    reached = {address.channel for address in preference.addresses if address.verified}
    closed = {choice.channel for choice in preference.opt_outs if choice.out and choice.category == "*"}
    return [
        {
            "user_id": {"S": f"{preference.tenant}/{preference.user_id}"},
            "channel_type": {"S": channel},
            "is_enabled": {"BOOL": channel in reached and channel not in closed and "*" not in closed},
            "version": {"N": str(preference.version)},
        }
        for channel in CHANNELS
    ]


@dataclass(slots=True)
class _Waiter:
    """Who waits for some rows."""

    left: int
    written: asyncio.Future[None]

    def less(self) -> None:
        """One of the rows is in the store."""
        self.left -= 1
        if not self.left and not self.written.done():
            self.written.set_result(None)


@dataclass(slots=True)
class _Unwritten:
    """The latest of a row, since when (the loop's time) one waits, who does, and whether only a lower rank may go."""

    row: Row | Item
    since: float
    waiters: list[_Waiter]
    conditional: bool

    def ripe(self, now: float) -> bool:
        """Whether it is to be written now."""
        pending = isinstance(self.row, Row) and self.row.public == Public.PENDING
        return not pending or now - self.since >= PENDING_S

    def item(self) -> Item:
        """The row in DynamoDB's types."""
        return row_item(self.row) if isinstance(self.row, Row) else self.row

    def awaited(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not waiter.written.cancelled() for waiter in self.waiters)

    def follow(self, earlier: "_Unwritten") -> None:
        """Take over from one that the store has not taken."""
        self.since = earlier.since
        self.waiters += earlier.waiters
        self.conditional = self.conditional or earlier.conditional


class Writer:
    """Gathers and writes. `perform` returns once each row, or a later one of its id, is in the store."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._unwritten: dict[Place, _Unwritten] = {}
        self._requests = asyncio.Semaphore(REQUESTS)
        self._under_way: dict[Place, asyncio.Future[list[int]]] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._be_no_ghost: Callable[[], None] = _unwatched

    async def start(self, be_no_ghost: Callable[[], None]) -> None:
        """Begin to write. `be_no_ghost` is asked before each request."""
        self._be_no_ghost = be_no_ghost
        self._flushing = asyncio.get_running_loop().create_task(self._flush_for_ever())
        self._flushing.add_done_callback(_ended)

    async def stop(self) -> None:
        """Write no more."""
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing

    async def perform(self, work: Sequence[Write | WritePreference], tables: Tables) -> None:
        """Have one piece of work written."""
        rows: dict[Place, tuple[Row | Item, bool]] = {}
        for write in work:
            if isinstance(write, Write):
                rows[self._rows.logs, write.row.notification_id, ""] = write.row, write.conditional
            else:
                for item in preference_items(write):
                    rows[self._rows.preferences, item["user_id"]["S"], item["channel_type"]["S"]] = item, False
        await self._written(rows)

    async def _written(self, rows: dict[Place, tuple[Row | Item, bool]]) -> None:
        loop = asyncio.get_running_loop()
        waiter, now = _Waiter(len(rows), loop.create_future()), loop.time()
        for place, (row, conditional) in rows.items():
            self._add(place, _Unwritten(row, now, [waiter], conditional))
        try:
            await waiter.written
        except asyncio.CancelledError:
            if requests := {self._under_way[place] for place in rows if place in self._under_way}:
                await asyncio.wait(requests)
            raise

    def _add(self, place: Place, latest: _Unwritten) -> None:
        earlier = self._unwritten.get(place)
        if earlier is not None:
            latest.follow(earlier)
        self._unwritten[place] = latest

    async def _flush_for_ever(self) -> None:
        while True:
            writes = self._gathered()
            under_way: list[asyncio.Task[None]] = []
            try:
                for places in writes:
                    under_way.append(asyncio.get_running_loop().create_task(self._write(places)))
                    await asyncio.sleep(GATHER_S / len(writes))
                await asyncio.gather(*under_way)
            finally:
                for task in under_way:
                    task.cancel()
            if not writes:
                await asyncio.sleep(GATHER_S)

    def _gathered(self) -> list[list[Place]]:
        """What is to be written now, by requests: of one table, or a single row under a condition."""
        now = asyncio.get_running_loop().time()
        ripe = {place: found for place, found in self._unwritten.items() if found.ripe(now)}
        requests = [[place] for place, found in ripe.items() if found.conditional]
        for table in (self._rows.logs, self._rows.preferences):
            places = [place for place, found in ripe.items() if place[0] == table and not found.conditional]
            requests += (places[start : start + BATCH] for start in range(0, len(places), BATCH))
        return requests

    async def _write(self, places: list[Place]) -> None:
        """Write until the store has taken every row that anybody waits for."""
        for pause_s in chain(_PATIENCE_S, repeat(_PATIENCE_S[-1])):
            async with self._requests:
                places = await self._request(places)
            if not places:
                return
            log.warning("store_refused", extra={"table": places[0][0], "rows": len(places)})
            await asyncio.sleep(pause_s)

    async def _request(self, places: list[Place]) -> list[Place]:
        """Write what these rows have become by now; returns those that the store has not taken.

        One that has come under a condition since it was gathered with others waits for a request of its own.
        """
        together = [place for place in places if len(places) == 1 or not self._unwritten[place].conditional]
        taken = {place: self._unwritten.pop(place) for place in together}
        rows = {place: found for place, found in taken.items() if found.awaited()}
        left = await self._put(rows) if rows else []
        for index, (place, found) in enumerate(rows.items()):
            if index in left:
                newer = self._unwritten.pop(place, None)
                self._unwritten[place] = found
                if newer is not None:
                    self._add(place, newer)
            else:
                for waiter in found.waiters:
                    waiter.less()
        return [place for index, place in enumerate(rows) if index in left]

    async def _put(self, rows: dict[Place, _Unwritten]) -> list[int]:
        """Send one request and, while it is under way, let it be waited for; returns which rows were not taken."""
        self._be_no_ghost()
        (table, *_), first = next(iter(rows.items()))
        items = [found.item() for found in rows.values()]
        request = asyncio.ensure_future(self._raise(items) if first.conditional else self._rows.put(table, items))
        self._under_way.update(dict.fromkeys(rows, request))
        try:
            return await request
        finally:
            for place in rows:
                del self._under_way[place]

    async def _raise(self, items: Sequence[Item]) -> list[int]:
        return [place for place, item in enumerate(items) if not await self._rows.raise_rank(item)]


def _unwatched() -> None:
    """Until it is started a writer writes nothing."""


def _ended(task: "asyncio.Task[None]") -> None:
    """Rows that wait for a writer that is gone would wait for ever, and look like a store that is down."""
    if not task.cancelled() and (error := task.exception()) is not None:
        die("the writer of rows ended", error)
