"""route.{lane}: a notification becomes deliveries, or the reason why there are none.

notifications ┐
misplaced     ├─ admit ─ dedup ─ enrich ─ route ─┬─ {channel}_notifications
returns       ┘    │       │        │            ├─ statuses (one decision for every input)
                   │       │        └─ retries   └─ notification_dlq
preferences ── remember ── the table, suppressions, preferences (in canonical form)
"""

from typing import TYPE_CHECKING

from agents.admit import admit
from agents.bury import bury
from agents.dedup import dedup
from agents.enrich import enrich
from agents.remember import remember
from agents.route import route
from agents.stage import Input, Outbox, Tables
from flows.clock import now_ms
from flows.engine.flow import WAITS, Flow, chain
from flows.settings import Settings
from schemas import topics
from schemas.channels import CHANNELS
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane, Reason
from tables import dedup as dedup_table
from tables import preferences

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TABLES = (dedup_table.TABLE, preferences.TABLE)


def flow(lane: Lane, ring: KeyRing, partitions: int) -> Flow:
    """The routing flow of one lane."""
    path = chain(
        admit(lane, ring, partitions, now_ms),
        dedup(lane, ring, now_ms),
        enrich(lane, ring, now_ms),
        route(lane, ring, now_ms),
    )

    def bury_culprit(record: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        bury(outbox, record, Reason.STAGE_FAILED, now_ms(), ring, lane, detail)

    return Flow(
        name=f"route.{lane}",
        lane=lane,
        stages={
            topics.notifications(lane): path,
            topics.misplaced(lane): path,
            topics.returns(lane): path,
            topics.PREFERENCES: remember(ring, now_ms, partitions, tell=lane is Lane.HIGH),
        },
        bury=bury_culprit,
        tables=TABLES,
        writes=(
            *(topics.deliveries(channel, lane) for channel in CHANNELS),
            *(topics.retries(lane, tier) for tier in topics.RETRY_TIERS_S),
            topics.misplaced(lane),
            topics.STATUSES,
            topics.PREFERENCES,
            topics.SUPPRESSIONS,
            topics.DEAD_LETTERS,
        ),
        waits=WAITS[lane],
    )


def __getattr__(name: str) -> "EngineApp":
    """`high` and `low`, for Faust's own commands: `faust -A flows.route:high agents`."""
    if name not in list(Lane):
        raise AttributeError(f"flows.route has no {name}: there are {', '.join(Lane)}")
    from flows.engine.host.view import throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second to import

    return view(flow(Lane(name), throw_away_ring(), Settings.from_environment().partitions), __doc__)
