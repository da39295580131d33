"""record: what happened becomes the rows that people look up.

statuses ──── record ─(folded, gathered 1 s, while pending up to 3)─ NotificationLogs
preferences ─ record ──────────────────────────────────────────── UserPreferences
"""

from typing import TYPE_CHECKING, Any, cast

from agents.bury import bury_culprit
from agents.record import record, record_preferences
from flows.clients import Rows
from flows.clock import now_ms
from flows.engine.flow import UNHURRIED, Flow, Outside
from flows.settings import Settings
from flows.writer import Writer
from schemas import topics
from schemas.sealing import KeyRing
from tables import progress

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TABLES = (progress.TABLE,)
WINDOW = 1_000
"""Batches whose rows may wait for the store."""


def flow(rows: Rows, ring: KeyRing) -> Flow:
    """The flow that keeps the store; it serves both lanes and no sender waits for it."""
    writer = Writer(rows)

    return Flow(
        name="record",
        lane=None,
        stages={topics.STATUSES: record(now_ms), topics.PREFERENCES: record_preferences},
        bury=bury_culprit(ring, now_ms),
        tables=TABLES,
        outside=Outside(
            window=WINDOW,
            perform=cast(Any, writer.perform),
            abandon=cast(Any, lambda work, started: None),
            settle=lambda results, tables, outbox: None,
            start=writer.start,
            stop=writer.stop,
        ),
        writes=(topics.DEAD_LETTERS,),
        waits=UNHURRIED,
    )


def __getattr__(name: str) -> "EngineApp":
    """`app`, for Faust's own commands: `faust -A flows.record agents`."""
    if name != "app":
        raise AttributeError(f"flows.record has no {name}: there is app")
    from flows.engine.host.view import throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second to import

    return view(flow(Rows(Settings.from_environment()), throw_away_ring()), __doc__)
