"""The command as its user meets it: in a folder of its own, against the servers of the session."""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.local import accounts
from deploy.local.ports import Reservation
from deploy.local.stack import Stack
from flows.cli import main
from tests.watching import answers, eventually

REPOSITORY = Path(__file__).parents[3]
ROWS = ("record", "record.preferences")
READY_S, LIMIT_S = 60.0, 20.0

Carillon = Callable[..., Result]


@pytest.fixture(scope="session")
def local(stack: Stack) -> dict[str, str]:
    """Settings that point at the session's servers, with keys and provider accounts."""
    keys = {
        "CARILLON_KEYS": f"1:{base64.b64encode(b'k' * 32).decode()}",
        "CARILLON_INDEX_KEY": base64.b64encode(b"i" * 32).decode(),
    }
    return stack.addresses.environment() | accounts.environment() | keys


@pytest.fixture
def carillon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Carillon:
    """Run `carillon` with arguments and settings in an empty folder, with nothing else set."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CARILLON_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, arguments, env=env, prog_name="carillon")

    return run


@pytest.fixture
def until(carillon: Carillon) -> Callable[..., str]:
    """Run a command again until its output holds `text`; returns that output."""

    def run(text: str, *arguments: str, env: dict[str, str]) -> str:
        deadline = time.monotonic() + LIMIT_S
        while text not in (said := carillon(*arguments, env=env).output):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        return said

    return run


@pytest.fixture(scope="module")
def prepared(local: dict[str, str]) -> dict[str, str]:
    """The settings, with topics, tables and templates made."""
    done = CliRunner().invoke(main, ["setup"], env=local, prog_name="carillon")
    assert done.exit_code == 0, done.output
    return local


@pytest.fixture(scope="module")
def worker(prepared: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """`carillon worker` with the high lane and the flows that write rows, ready."""
    folder = tmp_path_factory.mktemp("worker")
    with Reservation(["metrics"], {}) as held:
        port = held.ports["metrics"]
    settings = {**prepared, "CARILLON_STATE": str(folder / "state"), "CARILLON_METRICS_PORT": str(port)}
    command = [sys.executable, "-m", "flows.cli", "worker", "--lane", "high", *ROWS, "--id", "test-0"]
    log = folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **settings}, stdout=output, stderr=output
        )
    try:
        assert eventually(lambda: answers(f"http://127.0.0.1:{port}/ready"), READY_S), log.read_text()[-3000:]
        yield process
        process.terminate()
        assert process.wait(30) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
