"""The processes of a benchmark: a worker under measurement, and the open-loop generator beside it."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from measure import BenchError

from deploy.local import children

LOOK_S = 0.005


class Nest(Protocol):
    """Where processes are started."""

    folder: Path
    environment: dict[str, str]

    def spawn(self, name: str, command: Sequence[str], environment: dict[str, str]) -> children.Child: ...


@dataclass(frozen=True, slots=True)
class Phase:
    """An open-loop stretch of load: event i is due at start + i / rate, in epoch seconds."""

    name: str
    rate: int
    seconds: float
    start: float
    child: children.Child

    @property
    def events(self) -> int:
        """How many there are."""
        return int(self.rate * self.seconds)

    def sleep_until(self, seconds: float) -> None:
        """Wait until so many seconds of it have passed."""
        time.sleep(max(0.0, self.start + seconds - time.time()))

    def finish(self) -> dict[str, float]:
        """Wait for the generator; how late it was at worst (`late_ms`) and its CPU seconds (`cpu_s`)."""
        if self.child.process.wait(self.seconds + 90):
            raise BenchError(self.child.obituary())
        found: dict[str, float] = json.loads(self.child.tail().splitlines()[-1])
        return found


class Worker:
    """One process under measurement; `wait_ready` reads its log."""

    def __init__(self, rig: Nest, name: str, command: Sequence[str], ready: str, count: int = 1) -> None:
        self._rig, self.name, self._command = rig, name, command
        self._ready, self._count = ready, count
        self.state = rig.folder / "state" / name
        self.child: children.Child | None = None
        self.began = 0.0

    def start(self) -> Self:
        """Start it on the state it has."""
        environment = self._rig.environment | {"CARILLON_STATE": str(self.state), "CARILLON_WORKER": self.name}
        self.state.parent.mkdir(parents=True, exist_ok=True)
        self.began = time.time()
        self.child = self._rig.spawn(self.name, self._command, environment)
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.running.process.pid

    def wait_ready(self, limit_s: float = 90.0) -> float:
        """Wait until the log has every `ready` event; returns seconds from start to the last, by the log's own time."""
        return self.wait_said(self._ready, self._count, limit_s)

    def wait_said(self, event: str, count: int, limit_s: float) -> float:
        """Wait until the log has an event so many times; returns seconds from start to the last of them."""
        deadline = self.began + limit_s
        while len(found := self._said(event)) < count:
            self.check()
            if time.time() > deadline:
                raise BenchError(f"{self.name} did not say {event} within {limit_s:.0f} s: {self.running.tail()}")
            time.sleep(LOOK_S)
        return datetime.fromisoformat(found[count - 1]["at"]).timestamp() - self.began

    def check(self) -> None:
        """Raise BenchError if it has ended."""
        if not self.running.alive():
            raise BenchError(self.running.obituary())

    @property
    def running(self) -> children.Child:
        """Its process."""
        assert self.child is not None, "it was not started"
        return self.child

    def _said(self, wanted: str) -> list[dict[str, Any]]:
        lines = self.running.log.read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event.get("event") == wanted]

    def kill(self) -> None:
        """End it as a crash would."""
        self.running.process.kill()
        self.running.process.wait()

    def stop(self) -> None:
        """End it in order."""
        children.stop([self.running], 20.0)

    def wipe(self) -> None:
        """Remove its local state."""
        shutil.rmtree(self.state, ignore_errors=True)
