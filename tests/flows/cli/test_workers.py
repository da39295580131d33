"""What `carillon worker` makes sure of on its machine before it starts: no broker is asked."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from flows.cli import workers
from flows.cli.folder import alone
from schemas.errors import Misconfigured

Carillon = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]
KEYS = {"CARILLON_KEYS": f"1:{'A' * 43}=", "CARILLON_INDEX_KEY": f"{'A' * 43}="}
WORKER = ("worker", "route.high", "--id", "w1")


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Takes the place of the engine: gets what it would have been started with."""
    found: list[Any] = []
    monkeypatch.setattr(workers, "host", lambda flows, host: found.append(host))
    monkeypatch.setattr(workers.key_registry, "check", lambda settings: None)
    return found


def refused(carillon: Carillon, hosted: list[Any], **settings: str) -> str:
    """The one line of a worker that did not start."""
    done = carillon(*WORKER, env={**KEYS, **settings})
    assert (done.exit_code, hosted) == (2, []), done.output
    [line] = done.stderr.splitlines()
    return line


def test_a_worker_is_started_in_a_folder_of_its_own_that_it_holds(
    carillon: Carillon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []

    def host(flows: object, host: Any) -> None:
        found.append(host.folder)
        with pytest.raises(Misconfigured, match="taken"), alone(host.folder / "lock", "taken"):
            pytest.fail("two hold one folder")

    monkeypatch.setattr(workers, "host", host)
    monkeypatch.setattr(workers.key_registry, "check", lambda settings: None)
    done = carillon(*WORKER, env={**KEYS, "CARILLON_STATE": str(tmp_path / "state")})
    assert done.exit_code == 0, done.output
    assert found == [tmp_path / "state" / "w1"]


def test_a_state_folder_that_cannot_be_written_is_told_with_its_setting(
    carillon: Carillon, hosted: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refused(carillon, hosted, CARILLON_STATE=str(tmp_path / "file"))
    assert f"{tmp_path / 'file' / 'w1'} cannot be written" in line
    assert "CARILLON_STATE" in line


def test_a_second_worker_of_one_id_is_refused_and_told_what_to_change(
    carillon: Carillon, hosted: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "state" / "w1"
    folder.mkdir(parents=True)
    with alone(folder / "lock", ""):
        line = refused(carillon, hosted, CARILLON_STATE=str(tmp_path / "state"))
    assert f"another process works in {folder}" in line
    assert "--id" in line
    assert "CARILLON_STATE" in line


HOLD = """
import sys, time
from pathlib import Path
from flows.cli.folder import alone

with alone(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_is_killed_lets_go_of_its_folder_at_once(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Misconfigured, match="taken"), alone(file, "taken"):
            pytest.fail("two hold one file")
        other.send_signal(signal.SIGKILL)
        other.wait()
    with alone(file, "taken"):
        pass


def test_a_lock_that_cannot_be_opened_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(Misconfigured, match=r"lock cannot be opened"), alone(tmp_path / "lock", "taken"):
        pytest.fail("a folder is no file")


def test_a_metrics_port_that_is_taken_is_told_with_its_setting(carillon: Carillon, hosted: list[Any]) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        line = refused(carillon, hosted, CARILLON_METRICS_PORT=str(port))
    assert f"127.0.0.1:{port} (CARILLON_METRICS_HOST, CARILLON_METRICS_PORT)" in line
    assert "Address already in use" in line


@pytest.mark.parametrize("name", ["256.1.1.1", "x" * 70 + ".example"])
def test_a_metrics_host_that_is_none_is_told_with_its_setting(carillon: Carillon, hosted: list[Any], name: str) -> None:
    assert "CARILLON_METRICS_HOST" in refused(carillon, hosted, CARILLON_METRICS_HOST=name)


def test_run_is_refused_in_a_folder_where_it_cannot_log(carillon: Carillon) -> None:
    Path(".carillon").write_text("in the way")
    done = carillon("run", env=KEYS)
    assert done.exit_code == 2
    assert ".carillon cannot be written" in done.stderr
