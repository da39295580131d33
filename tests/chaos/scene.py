"""What a fault strikes: the whole pipeline on a stack of its own, bad networks in reach, and a keeper of its workers.

    high-a  every high flow                                low-a   every low flow
    high-b  the same, its way to the brokers by a proxy    record  what is beside, its store behind a proxy

A worker that ends is started again at once, as by flows.supervisor.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

from accepted import Load
from fault import Fault
from harness import Rig, eventually, log
from hurts import Hurt
from servers import Servers
from victims import ChaosError, Worker

from flows import roster
from schemas.vocabulary import Lane

KEEP_S = 0.2
PATIENCE_S = 60.0
"""How long a worker may take until it works."""
EXCUSED_S = 130.0
"""How long after a fault a process may still end because of it: a record may wait 120 s to be written."""
CRASH_S = 30.0
"""How long a planted crash may take to come."""


class Scene:
    """A running pipeline that can be hurt. Leaving it ends everything."""

    def __init__(self, rig: Rig | None = None, *, small_disk: bool = False) -> None:
        """On a stack of its own, or on `rig`, whose brokers have no proxy then."""
        self.servers = Servers(rig, small_disk=small_disk)
        self.rig = self.servers.rig
        self.hurts: list[Hurt] = []
        self.deaths: list[dict[str, Any]] = []
        """Processes that ended by themselves, and whether a fault allowed it."""
        self.unseen: list[str] = []
        """What was expected of a fault and did not come."""
        self.resident: dict[str, list[int]] = {}
        """MiB of each worker, second by second."""
        self._down: set[str] = set()
        self._active: list[Fault] = []
        self._excused_until = 0.0
        self._guests = 0
        self.load: Load
        """What comes in, once it does."""
        self._over, self._lock = threading.Event(), threading.RLock()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(self.servers)
            self._start()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join()
        self._exits.close()

    def _start(self) -> None:
        high, low, beside = (roster.of_lane(lane) for lane in (Lane.HIGH, Lane.LOW, None))
        self.high = [
            self.rig.worker("high-a", *high),
            self.rig.worker("high-b", *high, environment=self.servers.by_proxy),
        ]
        self.low = self.rig.worker("low-a", *low)
        self.record = self.rig.worker("record", *beside, environment=self.servers.store_by_proxy)
        for worker in self.workers:
            worker.wait_ready()
        self._keeper.start()

    @property
    def workers(self) -> list[Worker]:
        """Every worker that is kept running."""
        return self.rig.workers

    # -- faults ----------------------------------------------------------------------------------------------------

    @contextmanager
    def under(self, fault: Fault, strike: contextlib.AbstractContextManager[None]) -> Iterator[None]:
        """While `fault` lasts, and for a time after, processes may end if it allows that."""
        self._active.append(fault)
        try:
            with strike:
                yield
        finally:
            self._active.remove(fault)
            if fault.ends:
                self._excused_until = time.monotonic() + EXCUSED_S

    def hurt(self, name: str, worker: Worker | None = None) -> None:
        """Outcomes of calls that are under way may be lost: those of one worker, or of any."""
        self.hurts.append(Hurt(time.time(), name, worker.name if worker else None))

    @contextmanager
    def hurting(self, name: str, worker: Worker | None = None, *, in_order: bool = False) -> Iterator[None]:
        """The same, as long as this lasts; `in_order`: all that is lost is time."""
        at = time.time()
        yield
        self.hurts.append(Hurt(at, name, worker.name if worker else None, time.time(), in_order))

    def expect(self, holds: bool, what: str) -> None:
        """Note what a fault should have brought about and did not."""
        if not holds:
            log(f"NOT AS EXPECTED: {what}")
            self.unseen.append(what)

    def pick(self, draw: Random, *workers: Worker) -> Worker:
        """One of them, at work. Raises ChaosError if it does not come to be."""
        worker = draw.choice(workers)
        if not eventually(lambda: worker.ready, PATIENCE_S):
            raise ChaosError(f"{worker.name} does not work")
        return worker

    # -- workers ---------------------------------------------------------------------------------------------------

    def kill(self, worker: Worker, *, wipe: bool = False, plants: Sequence[str] = ()) -> None:
        """SIGKILL; the keeper starts it again at once, with these plants in it."""
        with self._lock:
            if worker.running:
                self.hurt("kill", worker)
                worker.kill(wipe=wipe)
            worker.plants = list(plants)

    def crash(self, worker: Worker, plant: str, where: str) -> None:
        """Start it with a plant that ends it, and wait until it has."""
        before = len(self.deaths)
        self.kill(worker, plants=(plant,))
        self.expect(eventually(lambda: len(self.deaths) > before, CRASH_S), f"{worker.name} ended {where}")

    def end(self, worker: Worker) -> None:
        """SIGTERM, and wait for its end; it stays down until `up`."""
        with self._lock:
            self._down.add(worker.name)
        if not worker.running:
            return
        try:
            worker.terminate()
        except ChaosError as error:
            self._died(worker, f"at SIGTERM: {error}")

    def down(self, worker: Worker) -> None:
        """SIGKILL, and leave it down until `up`."""
        with self._lock:
            self._down.add(worker.name)
            self.kill(worker)

    def up(self, worker: Worker, plants: Sequence[str] = ()) -> None:
        """Let the keeper start it."""
        with self._lock:
            worker.plants = list(plants)
            self._down.discard(worker.name)

    def restart(self, worker: Worker, plants: Sequence[str] = ()) -> None:
        """End it in order and start it with these plants; returns as `await_ready` does."""
        self.end(worker)
        self.up(worker, plants)
        self.await_ready(worker, "works again after a restart")

    def await_ready(self, worker: Worker, expected: str, was: int = 0) -> None:
        """Expect that a worker works, in another process than `was`.

        Returns when it does, or at once where another fault is on: that may be what it has to wait for.
        """
        if len(self._active) == 1:
            works = eventually(lambda: worker.ready and worker.pid != was, PATIENCE_S)
            self.expect(works, f"{worker.name} {expected}")

    @contextmanager
    def frozen(self, worker: Worker) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        pid = worker.pid
        with self.hurting("freeze", worker), contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            yield
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def guest(self, flow: str) -> Iterator[Worker]:
        """A further worker of one flow, under an id of its own, killed in the end."""
        with self._lock:
            self._guests += 1
            guest = self.rig.worker(f"guest-{self._guests}", flow)
        yield guest
        with self._lock:
            self.down(guest)
            self.workers.remove(guest)

    def _keep(self) -> None:
        """Start again what has ended, and note how large everything is."""
        sampled = 0.0
        while not self._over.wait(KEEP_S):
            with self._lock:
                for worker in self.workers:
                    if not worker.running:
                        if (why := worker.death()) is not None:
                            self._died(worker, why)
                        if worker.name not in self._down:
                            worker.start()
                            worker.plants = []
                if time.monotonic() - sampled >= 1.0:
                    sampled = time.monotonic()
                    for worker in self.workers:
                        self.resident.setdefault(worker.name, []).append(_resident_mib(worker))

    def _died(self, worker: Worker, why: str) -> None:
        asked = any(fault.ends for fault in self._active) or time.monotonic() < self._excused_until
        log(f"{worker.name} ended by itself{'' if asked else ', UNASKED'}: {why}")
        self.deaths.append({"at": time.time(), "worker": worker.name, "why": why, "asked": asked})
        self.hurt("death", worker)
        worker.forget()

    # -- the end ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Whatever is left of the faults goes: everything runs, and nothing is in its way."""
        self.servers.usual()
        for worker in self.workers:
            self.up(worker)
        for worker in self.workers:
            self.expect(eventually(lambda worker=worker: worker.ready, PATIENCE_S), f"{worker.name} works in the end")

    def drain(self, limit_s: float) -> float:
        """Wait until everything is worked; returns the seconds it took."""
        flows = {flow for worker in self.workers for flow in worker.flows}
        return self.rig.drain(sorted(flows), limit_s, kept=True)


def _resident_mib(worker: Worker) -> int:
    with contextlib.suppress(OSError, ChaosError):
        return int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    return 0
