"""The rules of delivery, broken one at a time as the engine's guards are in `mutations.py`."""

from typing import Any

import agents.dedup
import agents.deliver
from agents.stage import Outbox, Tables
from flows.engine.engine import Engine
from flows.engine.kafka.queued import Then
from flows.engine.outside import Calls
from tables.attempts import Attempt, Verdict, judge
from tables.dedup import unpack
from tests.simulation.staging import Wanted


def a_dedup_entry_without_its_source_offset() -> list[Wanted]:
    """A replay looks like a repeat."""
    return [(agents.dedup, "unpack", lambda entry: unpack(entry)._replace(offset=-1))]


def a_call_before_its_attempt_is_durable() -> list[Wanted]:
    """Calls begin with the emission that announces them."""
    emit = Engine._emit

    def at_once(self: Engine, views: Tables, outbox: Outbox, durable: Then, whole: Then) -> None:
        emit(self, views, outbox, lambda: None, whole)
        durable()

    return [(Engine, "_emit", at_once)]


def an_outcome_is_dropped() -> list[Wanted]:
    """Results of calls are not settled."""

    def settle(self: Calls) -> None:
        self._timer = None
        found, self._results = self._results, []
        self._free(len(found))
        self._written([announced for announced, _ in found])

    return [(Calls, "_settle", settle)]


def an_attempt_of_unknown_outcome_is_fresh() -> list[Wanted]:
    """A replay without an outcome calls once more."""

    def fresh(latest: Attempt | None, *asked: Any) -> Verdict:
        found = judge(latest, *asked)
        return Verdict.GO if found is Verdict.UNKNOWN else found

    return [(agents.deliver, "judge", fresh)]


RULES = (
    a_dedup_entry_without_its_source_offset,
    a_call_before_its_attempt_is_durable,
    an_outcome_is_dropped,
    an_attempt_of_unknown_outcome_is_fresh,
)
