"""`carillon run`: workers that come back under their ids, and none that outlives it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watching import answers, eventually, running

REPOSITORY = Path(__file__).parents[3]
READY_S, AGAIN_S = 60.0, 15.0
STARTED = re.compile(r"^(\S+) started: pid (\d+), metrics on port (\d+)", re.MULTILINE)


class Run:
    """The command in a folder of its own, and what it has said so far."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.said = folder / "said"
        environment = {**os.environ, **settings, "PYTHONPATH": str(REPOSITORY), "CARILLON_WORKER": "run"}
        with self.said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "flows.cli", "run"],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def starts(self) -> list[tuple[str, int, str]]:
        """(id, pid, metrics port) of every start, in order."""
        return [(id_, int(pid), port) for id_, pid, port in STARTED.findall(self.said.read_text())]

    def pids(self) -> dict[str, int]:
        return {id_: pid for id_, pid, _ in self.starts()}

    def ready(self) -> bool:
        return len(self.starts()) >= 3 and all(
            answers(f"http://127.0.0.1:{port}/ready") for _, _, port in self.starts()
        )


@pytest.fixture
def run(prepared: dict[str, str], tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path, prepared)
    try:
        assert eventually(started.ready, READY_S), started.said.read_text()
        yield started
    finally:
        pids = started.pids().values()
        started.process.kill()
        started.process.wait()
        assert eventually(lambda: not any(map(running, pids)), 5.0), "a worker outlived the supervisor's kill -9"


def test_a_killed_worker_is_back_within_a_second_under_its_id_with_its_tables(run: Run, tmp_path: Path) -> None:
    assert {id_ for id_, *_ in run.starts()} == {"run-high-0", "run-low-0", "run-beside-0"}
    first = run.pids()["run-high-0"]
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    assert eventually(lambda: run.pids()["run-high-0"] != first, 1.0), run.said.read_text()
    assert time.monotonic() - began < 1.0
    assert "run-high-0 ended with exit code -9, starting it again" in run.said.read_text()
    assert eventually(run.ready, READY_S)
    assert {path.name for path in (tmp_path / ".carillon" / "state").iterdir()} == set(run.pids())
    assert (tmp_path / ".carillon" / "logs" / "run-high-0.previous.log").exists()


def test_sigterm_drains_every_worker_and_ends_with_0(run: Run, tmp_path: Path) -> None:
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(40) == 0, run.said.read_text()
    for id_ in run.pids():
        assert '"event": "process_ended"' in (tmp_path / ".carillon" / "logs" / f"{id_}.log").read_text()


def test_run_ends_with_2_and_the_remedy_when_a_worker_is_misconfigured(
    prepared: dict[str, str], tmp_path: Path
) -> None:
    started = Run(tmp_path, {**prepared, "CARILLON_TWILIO_SECRET": ""})
    try:
        assert started.process.wait(READY_S) == 2, started.said.read_text()
    finally:
        started.process.kill()
        started.process.wait()
    last = started.said.read_text().splitlines()[-1]
    assert last.startswith("Error: run-")
    assert "cannot start: twilio is configured by half" in last
    assert not any(map(running, started.pids().values()))
