"""A worker whose servers fall silent: it is live, it is not ready, and it says which of them it waits for."""

import base64
import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.local import accounts
from deploy.local.stack import Stack
from flows.cli import main
from flows.engine.host.dependencies import SILENT_S
from flows.supervisor import Role, Supervisor
from tests.conftest import LIB
from tests.flows.engine.conftest import eventually

AT_LAST_S = 90.0
ROLE = Role("w-0", ("route.high", "deliver.sms.high", "record.preferences"))


class Watched:
    """A worker that is started again whenever it ends, as `carillon run` does, and what it says of itself."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        supervisor.start()
        self._address = supervisor.addresses()[ROLE.id]

    def page(self, path: str) -> tuple[int, str]:
        self._supervisor.look()
        try:
            with urllib.request.urlopen(f"{self._address}/{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wrong(self) -> set[str]:
        status, body = self.page("ready")
        return set(json.loads(body)["wrong"]) if status else {"no answer"}

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.page("metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def await_wrong(self, *names: str) -> None:
        eventually(lambda: self.wrong() == set(names), AT_LAST_S, f"that only {names} are wrong, not {self.wrong()},")


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """Servers that a test may freeze."""
    with Stack(tmp_path / "stack", parts=("kafka", "dynamodb", "s3", "sandbox"), lib=LIB) as stack:
        yield stack


@pytest.fixture
def carillon(own_stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run `carillon` against these servers, with settings that a worker has, too."""
    keys = {"KEYS": f"1:{base64.b64encode(b'k' * 32).decode()}", "INDEX_KEY": base64.b64encode(b"i" * 32).decode()}
    settings = {f"CARILLON_{name}": value for name, value in {**keys, "STATE": str(tmp_path / "state")}.items()}
    for name, value in (own_stack.addresses.environment() | accounts.environment() | settings).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(main, arguments, prog_name="carillon")
        assert done.exit_code == 0, done.output

    return run


@pytest.fixture
def worker(own_stack: Stack, carillon: Callable[..., None], tmp_path: Path) -> Iterator[Watched]:
    """A worker that is started while the bucket of templates is away."""
    carillon("setup")
    own_stack.kill("s3")
    supervisor = Supervisor([ROLE], tmp_path, print)
    yield Watched(supervisor)
    supervisor.stop()


def test_a_worker_is_live_but_not_ready_while_a_server_is_silent_and_names_it(
    own_stack: Stack, worker: Watched, carillon: Callable[..., None]
) -> None:
    pids = own_stack.pids()
    eventually(lambda: worker.wrong() <= {"s3"}, AT_LAST_S)
    os.kill(pids["dynamodb"], signal.SIGSTOP)
    carillon("prefer", "--user", "ada", "--address", "sms=+4917600000001")
    worker.await_wrong("s3", "dynamodb")
    assert worker.page("live")[0] == 200
    assert worker.metric('dependency_silent_seconds{dependency="dynamodb"}') > SILENT_S

    os.kill(pids["dynamodb"], signal.SIGCONT)
    own_stack.revive("s3")
    carillon("setup")
    worker.await_wrong()

    os.kill(pids["kafka"], signal.SIGSTOP)
    worker.await_wrong("kafka")
    assert worker.page("live")[0] == 200
    eventually(lambda: worker.metric('replicated_table_staleness_seconds{table="suppressions"}') > SILENT_S)
    os.kill(pids["kafka"], signal.SIGCONT)
    worker.await_wrong()
