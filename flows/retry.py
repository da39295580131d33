"""retry.{lane}: what failed, was held or throttled waits here, and goes back to its lane when it is due.

retries.{tier} ─ retry ─┬─ a further tier
                        └─ the topic its headers name
"""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from agents.bury import bury_culprit
from agents.retry import SHORTEST_MS, Moment, let_go, retry
from agents.stage import Outbox, Tables
from flows.clock import now_ms
from flows.engine.flow import WAITS, Flow, Outside
from schemas import topics
from schemas.channels import CHANNELS
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables.table import Table

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TABLES: tuple[Table, ...] = ()
WINDOW = 5000
"""Records that may be between their last room and their moment, less than a second away."""


async def wait_for(moment: Moment, tables: Tables) -> Moment:
    """The moment, when it has come."""
    await asyncio.sleep(min(max(0, moment.due_ms - now_ms()), SHORTEST_MS) / 1000)
    return moment


def flow(lane: Lane, ring: KeyRing) -> Flow:
    """The waiting rooms of one lane."""
    stage, bury = retry(lane, ring, now_ms), bury_culprit(ring, now_ms)

    def bury_moment(moment: Moment, detail: str, tables: Tables, outbox: Outbox) -> None:
        bury(moment.record, detail, tables, outbox)

    return Flow(
        name=f"retry.{lane}",
        lane=lane,
        stages={topics.retries(lane, tier): stage for tier in topics.RETRY_TIERS_S},
        bury=bury,
        tables=TABLES,
        outside=Outside(
            window=WINDOW,
            perform=cast(Any, wait_for),
            abandon=cast(Any, lambda moment, started: moment),
            settle=cast(Any, let_go),
            bury=cast(Any, bury_moment),
        ),
        writes=(
            topics.returns(lane),
            topics.misplaced(lane),
            *(topics.deliveries(channel, lane) for channel in CHANNELS),
            *(topics.retries(lane, tier) for tier in topics.RETRY_TIERS_S),
            topics.DEAD_LETTERS,
        ),
        waits=WAITS[lane],
    )


def __getattr__(name: str) -> "EngineApp":
    """`high` and `low`, for Faust's own commands: `faust -A flows.retry:high agents`."""
    if name not in list(Lane):
        raise AttributeError(f"flows.retry has no {name}: there are {', '.join(Lane)}")
    from flows.engine.host.view import throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second to import

    return view(flow(Lane(name), throw_away_ring()), __doc__)
