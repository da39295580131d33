"""Holds the four ledgers of a drained run of the whole pipeline against one another and against the oracle.

What must be none, by where it is looked for:

    sums.py   undecided, decided_unasked, decided_otherwise, decided_twice, held_for_ever, returned_unasked;
              routed_but_not_written, written_unasked, attempts_untold, retries_lost; not_ended, ended_unasked,
              ended_twice, ended_without_cause; hostile_without_a_dead_letter, sent_by_a_broken_template
    sent.py   lost, phantom, wrong_recipient, wrong_body, called_at_two_addresses, called_after_opt_out,
              called_after_deadline, sent_without_a_call, called_but_not_ended_so, unknown_not_buried; repeats by cause
    rows.py   rows_missing, rows_unasked, rows_that_differ; the same of preferences
"""

from collections.abc import Sequence
from pathlib import Path

import rows
import sent
import sums
from audit import Audit
from case import Case
from harness import Rig
from hurts import Hurt, Hurts
from ledgers import Ledgers, read

__all__ = ["Hurt", "audit", "examine"]


def audit(rig: Rig, accepted: Path, *, hurts: Sequence[Hurt] = (), store: bool = True) -> Audit:
    """Read the ledgers of a drained run, the load client's from `accepted`, and compare. Without `store` nothing is
    said of rows."""
    return examine(read(rig, accepted, store=store), hurts, store=store)


def examine(ledgers: Ledgers, hurts: Sequence[Hurt] = (), *, store: bool = True) -> Audit:
    """Compare; pure."""
    result, case = Audit(), Case.of(ledgers, Hurts(hurts))
    requests = [entry for entry in ledgers.accepted if entry.kind == "request"]
    result.figures |= {
        "accepted": sum(entry.result == "ok" for entry in requests),
        "accepted_perhaps": sum(entry.result == "info" for entry in requests),
        "notifications": len(case.wanted),
        "with_one_right_outcome": sum(wanted.certain for wanted in case.wanted.values()),
        "calls": len(ledgers.calls),
        "hurts": len(hurts),
    }
    sums.check(case, result)
    sent.check(case, result)
    if store:
        rows.check(case, result)
    return result
