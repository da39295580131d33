"""A thread that ends the process when it stalls: a stuck loop, or lag without progress and without a declared wait."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Sequence

from flows.engine.engine import Engine
from flows.engine.stop import die

LOOP_S = 30.0
PROGRESS_S = 60.0
_LOOK_S = 1.0

log = logging.getLogger("carillon.engine")


class Watchdog:
    """Looks once a second. `beat` is called by the event loop."""

    def __init__(self, engines: Sequence[Engine], *, loop_s: float = LOOP_S, progress_s: float = PROGRESS_S) -> None:
        self._engines = engines
        self._loop_s, self._progress_s = loop_s, progress_s
        self._beat_at = time.monotonic()
        self._excused_at = {engine.flow.name: self._beat_at for engine in engines}
        """When each flow was last seen with nothing to do, or with a reason to wait."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def beat(self) -> None:
        """The loop is alive."""
        self._beat_at = time.monotonic()

    def live(self) -> dict[str, str]:
        """What stands still and only another start mends; empty while the loop beats and flows with lag move."""
        now = time.monotonic()
        if now - self._beat_at > self._loop_s:
            return {"process": "the event loop is stuck"}
        return {e.flow.name: "has lag and makes no progress" for e in self._engines if self._stalled(e, now)}

    def ready(self) -> dict[str, str]:
        """As `live`, and which flows have not their partitions and tables."""
        waiting = [engine.flow.name for engine in self._engines if not engine.tenure.ready]
        return self.live() | dict.fromkeys(waiting, "not ready: joining, or restoring its tables")

    def _stalled(self, engine: Engine, now: float) -> bool:
        moved_at = max(engine.tenure.progress_at, self._excused_at[engine.flow.name])
        return engine.tenure.ready and now - moved_at > self._progress_s

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(_LOOK_S):
                self._look(time.monotonic())
        except Exception as error:  # a process that nobody watches must not go on
            die("the watchdog failed", error)

    def _look(self, now: float) -> None:
        for engine in self._engines:
            tenure = engine.tenure
            if not tenure.ready or not any(tenure.lag().values()) or tenure.waiting:
                self._excused_at[engine.flow.name] = now
        stuck = now - self._beat_at > self._loop_s
        stalled = [engine.flow.name for engine in self._engines if self._stalled(engine, now)]
        if stuck or stalled:
            log.error("stands_still", extra={"threads": _threads()})
            die("the event loop is stuck" if stuck else f"no progress in {', '.join(stalled)}")


def _threads() -> dict[str, str]:
    """Where each thread is, the innermost place first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): " < ".join(
            f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(traceback.extract_stack(frame))
        )
        for ident, frame in sys._current_frames().items()
    }
