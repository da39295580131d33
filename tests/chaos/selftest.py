"""The audit of the pipeline, audited: each planted fault must turn it red where it should, and nothing else may.

    make chaos-selftest [SECONDS=8] [RATE=150] [ONE_IN=200] [TOGETHER=1]

One stack; a load without any plant, which must be green, then one for each plant. TOGETHER plants those that show in
different places at once. A JSON summary is the last line on stdout; exit code 1 if any plant went unseen, or was seen
as something else.
"""

import json
import os
import sys
import time
from dataclasses import dataclass

from audit import Audit, examples
from harness import Rig, log
from hurts import Hurt
from ledgers import CHANNELS
from pipeline_audit import audit
from victims import ChaosError

from deploy.local.results import Run, option

SEEN = {
    "drop": {"undecided", "lost"},
    "double": {"one_attempt_called_twice", "repeats_unexplained", "repeats_unflagged"},
    "swap": {"wrong_body"},
    "skip_status": {"not_ended", "attempts_untold", "called_but_not_ended_so"},
    "commit_early": {"not_ended", "attempts_untold", "called_but_not_ended_so"},
}
"""The checks that each plant turns red."""
SEEN_PERHAPS = {
    "double": {"repeats_forbidden"},
    "commit_early": {"undecided", "routed_but_not_written", "lost", "rows_missing", "rows_that_differ"},
}
"""The checks that it may turn red: the call that was doubled was no OTP's; the kill found other stages amid a batch, or
an announced call not yet made; rows that are still gathered count as drained."""
KILLED = {"commit_early"}
"""Plants that do no harm until a worker is killed."""
FLOWS = ("route", *(f"deliver.{channel}" for channel in CHANNELS), "retry")
CALL_MS = 1000
"""Well above the time between two commits: whenever a worker is killed, its last one was amid calls."""
USERS = 300
DRAIN_S = 60.0


@dataclass(slots=True)
class Phase:
    """A load under some plants, and the checks that turned red in it."""

    plants: list[str]
    wanted: set[str]
    found: set[str]

    @property
    def right(self) -> bool:
        """Whether the audit saw what was planted, all of it and nothing else."""
        perhaps = {check for name in self.plants for check in SEEN_PERHAPS.get(name, ())}
        return self.wanted <= self.found <= self.wanted | perhaps


class Selftest:
    """Phases on one stack. The audit of each is of all so far, so what counts is what grew."""

    def __init__(self, rig: Rig, seconds: int, rate: int, *, plain: bool) -> None:
        """`plain`: unknown users, who are waited for, are left out of the load without a plant, too."""
        self._rig, self._seconds, self._rate, self._plain = rig, seconds, rate, plain
        self._seed = 0
        self._hurts: list[Hurt] = []
        self._before: dict[str, int] = {}
        rig.worker("high", *(f"{flow}.high" for flow in FLOWS))
        rig.worker("rest", *(f"{flow}.low" for flow in FLOWS), "record", "record.preferences")

    def run(self, plants: list[str]) -> Phase:
        """One phase. Raises ChaosError."""
        self._seed += 1
        for worker in self._rig.workers:
            if worker.plants != plants:
                worker.terminate()
                worker.plants = plants
                worker.start()
        for worker in self._rig.workers:
            worker.wait_ready()
        plain = self._plain or bool(plants)
        load = self._rig.load(seed=self._seed, rate=self._rate, seconds=self._seconds, users=USERS, plain=plain)
        load.wait_ready()
        if KILLED & set(plants):
            self._kill_later()
        load.wait(self._seconds + DRAIN_S)
        self._rig.drain([flow for worker in self._rig.workers for flow in worker.flows], DRAIN_S)
        result = audit(self._rig, load.ledger, hurts=self._hurts)
        phase = Phase(plants, {check for name in plants for check in SEEN[name]}, self._grown(result))
        log(f"{' + '.join(plants) or 'no plant'}: {sorted(phase.found) or 'green'}")
        if not phase.right:
            log(examples(result))
        return phase

    def _kill_later(self) -> None:
        """Kill the worker that sends, half-way, and start it again."""
        time.sleep(self._seconds / 2)
        worker = self._rig.workers[0]
        self._hurts.append(Hurt(time.time(), "kill", worker.name))
        worker.kill()
        worker.start()

    def _grown(self, result: Audit) -> set[str]:
        counts = {name: result.figures[name] for name in result.faults}
        grown = {name for name, count in counts.items() if count > self._before.get(name, 0)}
        self._before = counts
        return grown


def run(seconds: int, rate: int, one_in: int, *, together: bool) -> list[Phase]:
    """Every phase."""
    os.environ["CHAOS_ONE_IN"] = str(one_in)
    quiet = [name for name in SEEN if name not in KILLED]
    phases = [[], *([quiet] if together else ([name] for name in quiet)), *([name] for name in KILLED)]
    with Rig(("kafka", "s3", "sandbox", "dynamodb")) as rig:
        rig.behave({"latency_ms": CALL_MS})
        selftest = Selftest(rig, seconds, rate, plain=together)
        return [selftest.run(plants) for plants in phases]


def main() -> int:
    """All phases; returns the exit code."""
    left = Run("chaos", "selftest")
    try:
        phases = run(
            option("SECONDS", 8), option("RATE", 150), option("ONE_IN", 200), together=bool(option("TOGETHER", 0))
        )
    except ChaosError as error:
        sys.stdout.write(json.dumps({"faults": ["aborted"], "why": str(error)}) + "\n")
        return 1
    wrong = [phase for phase in phases if not phase.right]
    for phase in wrong:
        name = " + ".join(phase.plants) or "no plant"
        sys.stdout.write(f"{name}: red should be {sorted(phase.wanted)}, red was {sorted(phase.found)}\n")
    seen = {" + ".join(phase.plants) or "no plant": sorted(phase.found) for phase in phases}
    told = left.keep({"red": seen, "faults": [" + ".join(phase.plants) for phase in wrong]})
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
