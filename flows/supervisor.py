"""Keeps worker processes running: one a lane and one beside them, each under a stable id with its own state.

A worker that ends is started again at once: a high lane's static member is back before its session runs out, so the
others of its group feel nothing. One that ended because its own code or its settings are at fault stays down. None
outlives the supervisor, not even a `kill -9` of it (Linux).
"""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import children
from deploy.local.ports import PortTaken, Reservation
from flows import roster
from flows.engine.stop import EXIT_FAULTY, EXIT_MISCONFIGURED
from schemas.errors import Misconfigured
from schemas.vocabulary import Lane

LOOK_S = 0.2
ENDS, WITHIN_S, PAUSE_S = 5, 30.0, 5.0
"""A worker that ended by itself so often within that time has a cause that starting it at once will not mend; being
killed is no fault of its own. Starting takes 1 to 3 s, so the time is no shorter."""
GRACE_S = 30.0
"""Above what draining takes: 5 s a low flow, and the commit after it."""
_STAY_DOWN = (EXIT_FAULTY, EXIT_MISCONFIGURED)
_LAST_PORT = 2**16 - 1
_PACKAGES = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Role:
    """One worker process: its stable id and the flows it hosts."""

    id: str
    flows: tuple[str, ...]


def roles(workers: int = 1, prefix: str = "local") -> list[Role]:
    """`workers` processes for each lane, high first, and one for the flows without a lane."""
    found = [Role(f"{prefix}-{lane}-{n}", tuple(roster.of_lane(lane))) for lane in Lane for n in range(workers)]
    return [*found, Role(f"{prefix}-beside-0", tuple(roster.of_lane(None)))]


@dataclass(slots=True)
class _Worker:
    role: Role
    port: int
    child: children.Child | None = None
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=ENDS))
    again_at: float = 0.0
    starts: int = 0


class Supervisor:
    """Starts `roles`, each with a log in `logs` and settings on top of this process's environment.

    Metrics are on `first_port` and the ports after it, in the order of the roles; without it on free ones. Raises
    Misconfigured where such a port is taken.
    """

    def __init__(
        self,
        roles: Iterable[Role],
        logs: Path,
        tell: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        first_port: int = 0,
    ) -> None:
        self._logs, self._tell, self._environment = logs, tell, dict(environment or {})
        wanted = list(roles)
        self._ports = _reserve([role.id for role in wanted], first_port)
        self._workers = [_Worker(role, self._ports.ports[role.id]) for role in wanted]
        self._nursery = children.Nursery()
        self.refused = ""
        """Why the workers cannot do their work: one was refused at its first start, or all of them stay down."""

    def start(self) -> None:
        """Start every worker; does not wait until they are ready."""
        for worker in self._workers:
            self._ports.release(worker.role.id)
            self._spawn(worker)

    def addresses(self) -> dict[str, str]:
        """Where each worker serves /metrics, /live and /ready, by its id."""
        return {worker.role.id: f"http://127.0.0.1:{worker.port}" for worker in self._workers}

    def pids(self) -> dict[str, int]:
        """The process of each worker, by its id."""
        return {worker.role.id: worker.child.process.pid for worker in self._workers if worker.child}

    def look(self) -> None:
        """Start again what has ended, unless it does nothing but end."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.child is not None and not worker.child.alive():
                self._mourn(worker, now)
            if worker.child is None and now >= worker.again_at:
                self._spawn(worker)

    def watch(self, ending: threading.Event) -> None:
        """Look until `ending` is set or the workers are `refused`."""
        while not self.refused and not ending.wait(LOOK_S):
            self.look()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to all: each drains and commits; SIGKILL to what is left after `grace_s`."""
        children.stop([worker.child for worker in self._workers if worker.child], grace_s)
        self._nursery.close()
        self._ports.release()

    def last_words(self) -> str:
        """The end of each worker's log, for when they do not become ready."""
        return "\n".join(f"{w.role.id}:\n{w.child.tail()}" for w in self._workers if w.child)

    def _mourn(self, worker: _Worker, now: float) -> None:
        assert worker.child is not None
        code = worker.child.process.returncode
        if code >= 0:
            worker.ends.append(now)
        often = code >= 0 and len(worker.ends) == ENDS and now - worker.ends[0] <= WITHIN_S
        worker.again_at = now + PAUSE_S if often else now
        next_ = f"starting it again in {PAUSE_S:.0f} s" if often else "starting it again"
        if code in _STAY_DOWN:
            worker.again_at, next_ = math.inf, "not starting it again"
        last = worker.child.tail().rsplit("\n", 1)[-1]
        self._tell(f"{worker.role.id} ended with exit code {code}, {next_}. Its last line: {last}")
        worker.child = None
        if code == EXIT_MISCONFIGURED and worker.starts == 1:
            self.refused = f"{worker.role.id} cannot start: {last.removeprefix('Error: ')}"
        elif all(other.again_at == math.inf for other in self._workers):
            self.refused = f"no worker is left; the last line of {worker.role.id}: {last}"

    def _spawn(self, worker: _Worker) -> None:
        worker.starts += 1
        role, log = worker.role, self._logs / f"{worker.role.id}.log"
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        worker.child = self._nursery.spawn(
            role.id,
            [sys.executable, "-m", "flows.cli", "worker", *role.flows, "--id", role.id],
            log,
            environment={
                "PYTHONPATH": str(_PACKAGES),
                **self._environment,
                "CARILLON_METRICS_PORT": str(worker.port),
            },
        )
        self._tell(f"{role.id} started: pid {worker.child.process.pid}, metrics on port {worker.port}, log in {log}")


def _reserve(ids: list[str], first_port: int) -> Reservation:
    """A port for each worker."""
    if first_port and first_port + len(ids) - 1 > _LAST_PORT:
        raise Misconfigured(f"CARILLON_METRICS_PORT={first_port} leaves no port for each of {len(ids)} workers")
    try:
        return Reservation(ids, {id_: first_port + n for n, id_ in enumerate(ids)} if first_port else {})
    except PortTaken as error:
        raise Misconfigured(f"{error} CARILLON_METRICS_PORT is the first of {len(ids)} ports") from None
