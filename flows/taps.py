"""tap.{name}: a consumer beside the path, for each file in `agents/taps/`; in a group of its own, never in a hurry.

{what it reads} ─ tap ─ its table, its metrics, what it writes
"""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import agents.taps
from agents.bury import bury_culprit
from flows.clock import now_ms
from flows.engine.flow import WAITS, Flow
from schemas import topics
from schemas.discovery import modules
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables.table import Table

if TYPE_CHECKING:
    from flows.engine.seams import EngineApp

TAPS: Mapping[str, ModuleType] = {found.__name__.rpartition(".")[2]: found for found in modules(agents.taps)}


def tables_of(tap: str) -> tuple[Table, ...]:
    """What a tap remembers."""
    table: Table | None = getattr(TAPS[tap], "TABLE", None)
    return () if table is None else (table,)


def flow(tap: str, ring: KeyRing) -> Flow:
    """The flow of a tap."""
    module = TAPS[tap]

    return Flow(
        name=f"tap.{tap}",
        lane=None,
        stages={module.READS: module.tap},
        bury=bury_culprit(ring, now_ms),
        tables=tables_of(tap),
        writes=(*getattr(module, "WRITES", ()), topics.DEAD_LETTERS),
        waits=WAITS[Lane.LOW],
    )


def __getattr__(name: str) -> "EngineApp":
    """Each tap by its name, for Faust's own commands: `faust -A flows.taps:volume agents`."""
    if name not in TAPS:
        raise AttributeError(f"flows.taps has no {name}: there are {', '.join(TAPS)}")
    from flows.engine.host.view import throw_away_ring, view  # noqa: PLC0415 - Faust takes half a second to import

    return view(flow(name, throw_away_ring()), TAPS[name].__doc__)
