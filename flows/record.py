"""record and record.preferences: what happened becomes the rows that people look up.

statuses ──── record ─(folded, gathered 1 s, while pending up to 3)─ NotificationLogs
preferences ─ record.preferences ──────────────────────────────── UserPreferences

A flow for each table: rows of one that is missing, throttled or slow hold none of the other's up.
"""

from typing import TYPE_CHECKING, Any, cast

from agents.bury import bury_culprit
from agents.record import count_set_aside, record, record_preferences
from agents.stage import Stage
from flows.clients import Rows
from flows.clock import now_ms
from flows.engine.flow import UNHURRIED, Flow, Outside
from flows.settings import Settings
from flows.writer import Writer
from schemas import topics
from schemas.sealing import KeyRing
from schemas.topics import Topic
from tables import progress
from tables.table import Table

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TABLES = (progress.TABLE,)
WINDOW = 1_000
"""Batches whose rows may wait for the store."""


def flow(rows: Rows, ring: KeyRing) -> Flow:
    """The flow that keeps notifications; it serves both lanes and no sender waits for it."""
    return _flow("record", topics.STATUSES, record(now_ms), TABLES, Writer(rows, rows.logs), ring)


def preferences_flow(rows: Rows, ring: KeyRing) -> Flow:
    """The flow that keeps users' channels."""
    writer = Writer(rows, rows.preferences)
    return _flow("record.preferences", topics.PREFERENCES, record_preferences, (), writer, ring)


def _flow(name: str, reads: Topic, stage: Stage, tables: tuple[Table, ...], writer: Writer, ring: KeyRing) -> Flow:
    return Flow(
        name=name,
        lane=None,
        stages={reads: stage},
        bury=bury_culprit(ring, now_ms),
        tables=tables,
        outside=Outside(
            window=WINDOW,
            perform=cast(Any, writer.perform),
            abandon=cast(Any, lambda work, started: None),
            settle=cast(Any, count_set_aside),
            start=writer.start,
            stop=writer.stop,
        ),
        writes=(topics.DEAD_LETTERS,),
        waits=UNHURRIED,
        dependencies={"dynamodb": writer.silent_s},
    )


def __getattr__(name: str) -> "EngineApp":
    """`app` and `preferences`, for Faust's own commands: `faust -A flows.record agents`."""
    made = {"app": flow, topics.PREFERENCES.name: preferences_flow}.get(name)
    if made is None:
        raise AttributeError(f"flows.record has no {name}: there are app, preferences")
    from flows.engine.host.view import throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second to import

    return view(made(Rows(Settings.from_environment()), throw_away_ring()), __doc__)
