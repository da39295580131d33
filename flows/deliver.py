"""deliver.{channel}.{lane}: a delivery becomes one provider call and its outcome.

{channel}_notifications ─ deliver ─(attempt durable)─ call ─ settle ─┬─ statuses
                            │                                       ├─ retries
                 templates, suppressions                             └─ notification_dlq, suppressions
"""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from agents.deliver import Deliver, abandon, bury_record, caller
from agents.provider import Provider
from agents.settle import settle
from agents.stage import Input, Outbox, Tables
from agents.transport import Transport
from agents.unsettled import bury_outcome
from flows.clock import now_ms
from flows.engine.flow import WAITS, Flow, Outside
from flows.settings import Settings
from flows.templates import Templates
from schemas import topics
from schemas.channels import CHANNELS
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables import attempts, suppressions

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TABLES = (attempts.TABLE, suppressions.TABLE)


def flow(channel: str, lane: Lane, provider: Provider, templates: Templates, ring: KeyRing, window: int) -> Flow:
    """The delivery flow of one channel on one lane.

    `window` is the most calls announced whose results are not durable: so many a kill can leave unknown. How many the
    provider takes at a time is its own affair, kept by the transport.
    """
    work = Deliver(lane, provider, templates, ring, now_ms)
    transport = Transport([provider])

    async def start(be_no_ghost: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(None, templates.warm)
        await transport.start()

    async def stop() -> None:
        templates.close()
        await transport.stop()

    def bury(record: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        bury_record(outbox, record, detail, now_ms(), ring)

    return Flow(
        name=f"deliver.{channel}.{lane}",
        lane=lane,
        stages={topics.deliveries(channel, lane): work.stage},
        bury=bury,
        tables=TABLES,
        outside=Outside(
            window=window,
            perform=cast(Any, caller(provider, transport.send, now_ms)),
            abandon=cast(Any, abandon),
            settle=cast(Any, settle(lane, now_ms, random.random)),
            bury=cast(Any, bury_outcome(lane, now_ms)),
            start=start,
            stop=stop,
        ),
        writes=(
            *(topics.retries(lane, tier) for tier in topics.RETRY_TIERS_S),
            topics.returns(lane),
            topics.STATUSES,
            topics.SUPPRESSIONS,
            topics.DEAD_LETTERS,
        ),
        waits=WAITS[lane],
        dependencies={"s3": templates.failing_s},
    )


def __getattr__(name: str) -> "EngineApp":
    """`sms_high` and the like, for Faust's own commands: `faust -A flows.deliver:sms_high agents`."""
    channel, _, lane = name.rpartition("_")
    if channel not in CHANNELS or lane not in list(Lane):
        named = (f"{channel}_{lane}" for channel in CHANNELS for lane in Lane)
        raise AttributeError(f"flows.deliver has no {name}: there are {', '.join(named)}")
    from flows.engine.host.view import no_provider, throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second

    settings = Settings.from_environment()
    looked_at = flow(channel, Lane(lane), no_provider(), Templates(settings), throw_away_ring(), settings.window)
    return view(looked_at, __doc__)
