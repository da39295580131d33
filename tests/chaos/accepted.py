"""The ledger of what was accepted, and the process that keeps it. `load.py` is what runs in that process."""

import json
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from victims import REPOSITORY, ChaosError

from deploy.local.children import Child, Nursery

PATIENCE_S = 60.0
"""How long the load client waits for fates when it begins and when it ends."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a record that was sent, once its fate was known.

    `kind` is request or preference, `number` the place in the order of sending (first preferences have negative ones).
    Times are epoch seconds: when a request was due or a preference was sent; when the fate was known; and, by the
    broker's clock, when it was appended. `result` is ok (durable, at this place), fail (surely not written) or info
    (nobody knows). `value` is the record as sent, in base64 on file.
    """

    kind: str
    number: int
    t_due: float
    t_acked: float
    result: str
    topic: str
    partition: int
    offset: int
    appended: float
    key: str
    value: bytes | None

    @classmethod
    def read(cls, line: str) -> Self:
        """A row from its line."""
        row = json.loads(line)
        return cls(**row | {"value": None if row["value"] is None else b64decode(row["value"])})

    def line(self) -> str:
        """The row as it is kept."""
        row = asdict(self) | {"value": None if self.value is None else b64encode(self.value).decode()}
        return json.dumps(row) + "\n"


class Load:
    """The load client as a process of its own."""

    def __init__(
        self, nursery: Nursery, ledger: Path, *, seed: int, rate: float, seconds: float, users: int, plain: bool = False
    ) -> None:
        self.ledger = ledger
        wishes = {"seed": seed, "rate": rate, "seconds": seconds, "users": users, "ledger": ledger}
        command = [
            sys.executable,
            str(Path(__file__).with_name("load.py")),
            *(f"--{name}={value}" for name, value in wishes.items()),
        ]
        self._child: Child = nursery.spawn(
            "load",
            command + ["--plain"] * plain,
            ledger.with_suffix(".log"),
            environment={"PYTHONPATH": str(REPOSITORY)},
            cwd=REPOSITORY,
        )

    def wait_ready(self) -> None:
        """Wait until every preference is durable. Raises ChaosError."""
        deadline = time.monotonic() + PATIENCE_S
        while b'"ready"' not in self._child.log.read_bytes():
            if not self._child.alive() or time.monotonic() > deadline:
                raise ChaosError(f"the load client did not begin:\n{self._child.tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Tell it to end now; `wait` waits for that."""
        self._child.process.send_signal(signal.SIGTERM)

    def burst(self) -> None:
        """Have it send ten times as much for some seconds."""
        self._child.process.send_signal(signal.SIGUSR1)

    def wait(self, seconds: float) -> None:
        """Wait for its end. Raises ChaosError if it does not come in `seconds`, or is none in order."""
        try:
            code = self._child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ChaosError(f"the load client has not ended after {seconds:.0f} s:\n{self._child.tail()}") from None
        if code:
            raise ChaosError(self._child.obituary())
