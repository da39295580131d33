"""Writes rows: the latest of each id, gathered for a second, 25 a request, until the store has taken them.

A row whose partition was given up is dropped unwritten: its futures are cancelled, and the next owner writes it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from agents.record import Write, WritePreference
from agents.stage import Tables
from flows.clients import BATCH, Rows
from flows.engine.stop import die
from schemas.channels import CHANNELS
from tables.progress import Row

GATHER_S = 1.0
KEEP_S = 30 * 24 * 3600
"""Life of a row in the store (its TTL attribute)."""
_PATIENCE_S = (0.1, 0.5, 1.0, 2.0)

log = logging.getLogger("carillon.record")
Item = dict[str, Any]


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


class Writer:
    """Gathers and writes. `perform` returns once the row, or a later one of its id, is in the store."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._latest: dict[tuple[str, str, str], Item] = {}
        self._waiting: dict[tuple[str, str, str], list[asyncio.Future[None]]] = {}
        self._conditional: set[tuple[str, str, str]] = set()
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to write."""
        self._flushing = asyncio.get_running_loop().create_task(self._flush_for_ever())
        self._flushing.add_done_callback(_ended)

    async def stop(self) -> None:
        """Write no more."""
        if self._flushing is not None:
            self._flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flushing

    async def perform(self, work: Write | WritePreference, tables: Tables) -> None:
        """Have one piece of work written."""
        if isinstance(work, Write):
            place = (self._rows.logs, work.row.notification_id, "")
            if work.conditional:
                self._conditional.add(place)
            await self._add([(place, row_item(work.row))])
        else:
            table = self._rows.preferences
            items = preference_items(work)
            await self._add([((table, i["user_id"]["S"], i["channel_type"]["S"]), i) for i in items])

    async def _add(self, entries: Sequence[tuple[tuple[str, str, str], Item]]) -> None:
        futures = []
        for place, item in entries:
            self._latest[place] = item
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(place, []).append(future)
            futures.append(future)
        if len(futures) == 1:
            await futures[0]
        else:
            await asyncio.gather(*futures)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(GATHER_S)
            latest, self._latest = self._latest, {}
            waiting, self._waiting = self._waiting, {}
            conditional, self._conditional = self._conditional, set()
            owned = {p: i for p, i in latest.items() if any(not f.cancelled() for f in waiting[p])}
            for place in [place for place in owned if place in conditional]:
                await self._until_raised(owned.pop(place))
                _release(waiting[place])
            for table in (self._rows.logs, self._rows.preferences):
                places = [place for place in owned if place[0] == table]
                chunks = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
                await asyncio.gather(*(self._write(table, chunk, owned, waiting) for chunk in chunks))

    async def _write(
        self,
        table: str,
        places: list[tuple[str, str, str]],
        items: dict[tuple[str, str, str], Item],
        waiting: dict[tuple[str, str, str], list[asyncio.Future[None]]],
    ) -> None:
        tries = 0
        while places:
            places = [place for place in places if any(not future.cancelled() for future in waiting[place])]
            left = await self._rows.put(table, [items[place] for place in places]) if places else []
            untaken = {places[index] for index in left}
            for place in places:
                if place not in untaken:
                    _release(waiting[place])
            places = [place for place in places if place in untaken]
            if places:
                log.warning("store_refused", extra={"table": table, "rows": len(places)})
                await asyncio.sleep(_PATIENCE_S[min(tries, len(_PATIENCE_S) - 1)])
                tries += 1

    async def _until_raised(self, item: Item) -> None:
        tries = 0
        while not await self._rows.raise_rank(item):
            await asyncio.sleep(_PATIENCE_S[min(tries, len(_PATIENCE_S) - 1)])
            tries += 1


def _ended(task: "asyncio.Task[None]") -> None:
    """Rows that wait for a writer that is gone would wait for ever, and look like a store that is down."""
    if not task.cancelled() and (error := task.exception()) is not None:
        die("the writer of rows ended", error)


def _release(futures: list["asyncio.Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
