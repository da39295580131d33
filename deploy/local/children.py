"""Child processes that are stopped with their owner, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
TAIL_BYTES = 2_000


@dataclass(frozen=True)
class Child:
    """A running command: its name for messages, its process, and the log that takes all it prints."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def tail(self) -> str:
        """The last lines of the log, 2,000 bytes at most."""
        return tail(self.log)

    def obituary(self) -> str:
        """What to tell of a child that ended by itself."""
        return f"{self.name} ended with exit code {self.process.returncode}. The end of {self.log}:\n{self.tail()}"


def tail(path: Path) -> str:
    """The last lines of a log, 2,000 bytes at most."""
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        return log.read().decode(errors="replace").strip() or "(nothing)"


class Nursery:
    """Starts children from one thread of its own, which lives until `close`.

    Linux ties the death signal to the thread that forked, so the caller's thread would not do: it may end earlier.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nursery")

    def spawn(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        inherit: Sequence[int] = (),
    ) -> Child:
        """Start `command` with stdout and stderr in `log` (a new file), the file descriptors `inherit` kept open.

        It gets a session of its own: Ctrl-C in a terminal reaches its owner alone, who then stops it in order.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = self._thread.submit(
                subprocess.Popen[bytes],
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                pass_fds=inherit,
                start_new_session=True,
            ).result()
        return Child(name, process, log)

    def close(self) -> None:
        """End the thread; whatever it started and still runs is killed by that."""
        self._thread.shutdown()


def stop(children: Iterable[Child], grace: float = 5.0) -> None:
    """SIGTERM to all at once, SIGKILL to those still there after `grace` seconds; returns when all are gone."""
    running = [child for child in children if child.alive()]
    for child in running:
        child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    for child in running:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
