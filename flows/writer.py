"""Writes rows of one table: the latest of each id, gathered for a second, 25 a request, until the store has taken them.

A row that the store refuses for good is set aside, with an alarm, once the store has taken another row of the table:
before that the table may be at fault. Rows that wait to be sent again hold up no others.

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

from agents.record import SetAside, Write, WritePreference
from agents.stage import Tables
from flows.clients import BATCH, Answer, Item, Rows
from flows.engine.stop import die
from flows.row_items import preference_items, row_item
from schemas.vocabulary import Public
from tables.progress import Row

GATHER_S = 1.0
PENDING_S = 2.0
"""How long a pending row waits for its end; with the gathering, less than a drain lasts."""
REQUESTS = 2
"""Requests under way at a time. What waits for its turn can still be given up; a request cannot."""
_PATIENCE_S = (0.1, 0.5, 1.0, 2.0)
_SHOWN = 64

log = logging.getLogger("carillon.record")
Place = tuple[str, str]
"""A row's key: notification id, or user and channel."""


@dataclass(slots=True)
class _Waiter:
    """Who waits for some rows."""

    left: int
    written: asyncio.Future[None]
    set_aside: int = 0

    def less(self, *, set_aside: bool = False) -> None:
        """One of the rows is in the store, or set aside."""
        self.left -= 1
        self.set_aside += set_aside
        if not self.left and not self.written.done():
            self.written.set_result(None)


@dataclass(slots=True)
class _Unwritten:
    """The latest of a row, since when (the loop's time) one waits, who does, and whether only a lower rank may go.

    `tries` counts the requests that the store did not take it from, and `again_at` is when it is sent again.
    """

    row: Row | Item
    since: float
    waiters: list[_Waiter]
    conditional: bool
    tries: int = 0
    again_at: float = 0.0

    def ripe(self, now: float) -> bool:
        """Whether it is to be written now."""
        pending = isinstance(self.row, Row) and self.row.public == Public.PENDING
        return now >= self.again_at and (not pending or now - self.since >= PENDING_S)

    def later(self, now: float) -> None:
        """The store has not taken it: send it again after a while."""
        self.again_at = now + _PATIENCE_S[min(self.tries, len(_PATIENCE_S) - 1)]
        self.tries += 1

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
        self.tries, self.again_at = earlier.tries, earlier.again_at


class Writer:
    """Gathers and writes rows of `table`. `perform` returns once each row, or a later one of its id, is in the store or
    set aside."""

    def __init__(self, rows: Rows, table: str) -> None:
        self._rows, self._table = rows, table
        self._unwritten: dict[Place, _Unwritten] = {}
        self._requests = asyncio.Semaphore(REQUESTS)
        self._under_way: dict[Place, asyncio.Future[Answer]] = {}
        self._asked_at: dict[asyncio.Future[Answer], float] = {}
        """When each request under way was sent."""
        self._takes = False
        """Whether the store has taken a row of the table: then one that it refuses is at fault itself."""
        self._refused_since: float | None = None
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

    def silent_s(self) -> float:
        """Seconds for which the store has taken no row that it was sent; 0 while none waits."""
        waits = [*self._asked_at.values()]
        if self._refused_since is not None and any(found.tries for found in self._unwritten.values()):
            waits.append(self._refused_since)
        return asyncio.get_running_loop().time() - min(waits) if waits else 0.0

    async def perform(self, work: Sequence[Write | WritePreference], tables: Tables) -> SetAside:
        """Have one piece of work written; returns how many of its rows were set aside."""
        rows: dict[Place, tuple[Row | Item, bool]] = {}
        for write in work:
            if isinstance(write, Write):
                rows[write.row.notification_id, ""] = write.row, write.conditional
            else:
                for item in preference_items(write):
                    rows[item["user_id"]["S"], item["channel_type"]["S"]] = item, False
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
        return SetAside(self._table, waiter.set_aside)

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
        """What is to be written now, by requests: of several rows, or of a single one under a condition."""
        now = asyncio.get_running_loop().time()
        ripe = {place: found for place, found in self._unwritten.items() if found.ripe(now)}
        places = [place for place, found in ripe.items() if not found.conditional]
        requests = [[place] for place, found in ripe.items() if found.conditional]
        return requests + [places[start : start + BATCH] for start in range(0, len(places), BATCH)]

    async def _write(self, places: list[Place]) -> None:
        """Write what these rows have become by now. What the store has not taken stays to be sent again.

        One that has come under a condition since it was gathered with others waits for a request of its own.
        """
        async with self._requests:
            together = [place for place in places if len(places) == 1 or not self._unwritten[place].conditional]
            taken = {place: self._unwritten.pop(place) for place in together}
            rows = {place: found for place, found in taken.items() if found.awaited()}
            if rows:
                asked_at = asyncio.get_running_loop().time()
                self._take(rows, await self._put(rows), asked_at)

    def _take(self, rows: dict[Place, _Unwritten], answer: Answer, asked_at: float) -> None:
        now = asyncio.get_running_loop().time()
        if len(answer.again) + len(answer.never) < len(rows):
            self._takes, self._refused_since = True, None
        elif self._refused_since is None and not (answer.never and self._takes):
            self._refused_since = asked_at
        refused = 0
        for index, (place, found) in enumerate(rows.items()):
            if index in answer.never and self._takes:
                self._set_aside(place, found, answer.never[index])
            elif index in answer.again or index in answer.never:
                refused += 1
                found.later(now)
                newer = self._unwritten.pop(place, None)
                self._unwritten[place] = found
                if newer is not None:
                    self._add(place, newer)
            else:
                for waiter in found.waiters:
                    waiter.less()
        if refused:
            log.warning("store_refused", extra={"table": self._table, "rows": refused})

    def _set_aside(self, place: Place, found: _Unwritten, code: str) -> None:
        """Give a row up that the store takes at no time. A preference is named by its tenant alone."""
        name = place[0] if isinstance(found.row, Row) else place[0].partition("/")[0]
        log.error("row_set_aside", extra={"table": self._table, "row": name[:_SHOWN], "code": code})
        for waiter in found.waiters:
            waiter.less(set_aside=True)

    async def _put(self, rows: dict[Place, _Unwritten]) -> Answer:
        """Send one request and, while it is under way, let it be waited for."""
        self._be_no_ghost()
        first, items = next(iter(rows.values())), [found.item() for found in rows.values()]
        call = self._rows.raise_rank(items[0]) if first.conditional else self._rows.put(self._table, items)
        request = asyncio.ensure_future(call)
        self._asked_at[request] = asyncio.get_running_loop().time()
        self._under_way.update(dict.fromkeys(rows, request))
        try:
            return await request
        finally:
            del self._asked_at[request]
            for place in rows:
                del self._under_way[place]


def _unwatched() -> None:
    """Until it is started a writer writes nothing."""


def _ended(task: "asyncio.Task[None]") -> None:
    """Rows that wait for a writer that is gone would wait for ever, and look like a store that is down."""
    if not task.cancelled() and (error := task.exception()) is not None:
        die("the writer of rows ended", error)
