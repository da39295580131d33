"""Workers that can be hurt: killed, wiped, ended, stopped for a while, and started again under their ids."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.children import Child, Nursery
from flows.engine.stop import EXIT_BROKEN

REPOSITORY = Path(__file__).parents[2]
READY_S = 60.0
END_S = 20.0
"""How long a worker may take to end after SIGTERM: the longest drain and a margin for a busy machine."""
NOTICE_S = 3.0
"""How long a worker that stood still may take to notice."""


class ChaosError(Exception):
    """A run cannot go on; the message says what was met."""


class Worker:
    """One worker process with a stable id and a state folder, which outlive its deaths."""

    def __init__(
        self,
        name: str,
        flows: Sequence[str],
        folder: Path,
        nursery: Nursery,
        environment: Mapping[str, str] | None = None,
        script: str = "worker.py",
    ) -> None:
        """`script` is what runs in the process, with its flows as arguments and `environment` over the settings."""
        self.name, self.flows, self._script = name, list(flows), script
        self._environment = dict(environment or {})
        self._folder, self._nursery = folder, nursery
        self.plants: list[str] = []
        """Faults of `plants/` that its next start plants in it."""
        self._child: Child | None = None
        self._starts = 0

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.alive()

    @property
    def state(self) -> Path:
        """The folder of its local stores."""
        return self._folder / "state" / self.name

    @property
    def pid(self) -> int:
        """Its process. Raises ChaosError where it has none."""
        if self._child is None:
            raise ChaosError(f"{self.name} does not run")
        return self._child.process.pid

    def start(self) -> None:
        """Start its process; `wait_ready` tells when it works."""
        self._starts += 1
        environment = {
            "CARILLON_WORKER": self.name,
            "CARILLON_STATE": str(self.state),
            "CARILLON_METRICS_PORT": "0",
            "CHAOS_PLANTS": ",".join(self.plants),
            "PYTHONPATH": str(REPOSITORY),
            **self._environment,
        }
        self._child = self._nursery.spawn(
            self.name,
            [sys.executable, str(Path(__file__).with_name(self._script)), *self.flows],
            self._folder / "logs" / f"{self.name}.{self._starts}.log",
            environment=environment,
            cwd=REPOSITORY,
        )

    @property
    def ready(self) -> bool:
        """Whether it runs and every flow has its partitions."""
        return self.running and self._ready()

    def _ready(self) -> bool:
        return self.told("flow_ready") >= len(self.flows)

    def told(self, event: str) -> int:
        """How often its log has such an event."""
        return self._child.log.read_bytes().count(b'"%s"' % event.encode()) if self._child is not None else 0

    def metrics(self) -> str:
        """What its /metrics says. Raises ChaosError where it has none yet."""
        port = self._child and re.search(rb'"metrics_port": (\d+)', self._child.log.read_bytes())
        if not port:
            raise ChaosError(f"{self.name} has no /metrics")
        with urllib.request.urlopen(f"http://127.0.0.1:{int(port[1])}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def wait_ready(self) -> float:
        """Wait until every flow has its partitions; returns the seconds it took. Raises ChaosError."""
        began = time.monotonic()
        assert self._child is not None
        while not self._ready():
            self.check()
            if time.monotonic() - began > READY_S:
                raise ChaosError(f"{self.name} was not ready in {READY_S:.0f} s:\n{self._child.tail()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def death(self) -> str | None:
        """Of a process that ended by itself: why, in the engine's words where it says so."""
        if self._child is None or self._child.alive():
            return None
        said = [json.loads(line) for line in self._child.log.read_text().splitlines() if '"fail_stop"' in line]
        if self._child.process.returncode == EXIT_BROKEN and said:
            return str(said[-1]["why"])
        return f"exit code {self._child.process.returncode}: {self._child.tail().splitlines()[-1]}"

    def forget(self) -> None:
        """Of a process that ended by itself: it was seen."""
        self._child = None

    def check(self) -> None:
        """Raise ChaosError, with the end of its log, if it has ended by itself."""
        if self._child is not None and not self._child.alive():
            raise ChaosError(self._child.obituary())

    def kill(self, *, wipe: bool = False) -> None:
        """SIGKILL; `wipe` loses its local state too, as when its machine is gone."""
        assert self._child is not None
        self.check()
        self._child.process.kill()
        self._child.process.wait()
        self._child = None
        if wipe:
            shutil.rmtree(self.state, ignore_errors=True)

    def stall(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`, in which its group gives its partitions away.

        It may then go on or, where it sees how late it is, end itself; anything else raises ChaosError.
        """
        assert self._child is not None
        self._child.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._child.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._child.process.wait(NOTICE_S) != EXIT_BROKEN or b"stood still" not in self._child.log.read_bytes():
                raise ChaosError(self._child.obituary())
            self._child = None

    def terminate(self) -> None:
        """SIGTERM, and wait for an orderly end. Raises ChaosError if it does not come or is none."""
        child, self._child = self._child, None
        assert child is not None
        child.process.send_signal(signal.SIGTERM)
        try:
            code = child.process.wait(END_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            raise ChaosError(f"{self.name} had not ended {END_S:.0f} s after SIGTERM:\n{child.tail()}") from None
        # Before a process listens for it, SIGTERM simply ends it, as it does once its work has ended in order.
        told = child.log.read_bytes()
        idle = b'"process_started"' not in told or b'"process_ended"' in told
        if code != 0 and not (idle and code == -signal.SIGTERM):
            raise ChaosError(child.obituary())
