"""The supervisor over a program that stands for the worker: it ends as it is told to."""

import threading
from pathlib import Path

import pytest

from deploy.local.ports import Reservation
from flows.engine.stop import EXIT_BROKEN, EXIT_FAULTY, EXIT_MISCONFIGURED, EXIT_UNREACHABLE
from flows.supervisor import Role, Supervisor
from schemas.errors import Misconfigured
from tests.watching import eventually


def supervised(folder: Path, code: int, said: list[str]) -> Supervisor:
    """A supervisor of one worker, which in this folder ends at once with an exit code."""
    (folder / "flows" / "cli").mkdir(parents=True)
    (folder / "flows" / "__init__.py").touch()
    (folder / "flows" / "cli" / "__init__.py").touch()
    (folder / "flows" / "cli" / "__main__.py").write_text(f"raise SystemExit({code})")
    (folder / "logs").mkdir()
    return Supervisor([Role("w", ())], folder / "logs", said.append)


@pytest.mark.parametrize(
    ("code", "again"),
    [(EXIT_BROKEN, True), (EXIT_UNREACHABLE, True), (EXIT_FAULTY, False), (EXIT_MISCONFIGURED, False)],
)
def test_a_worker_that_ended_is_started_again_unless_its_code_or_its_settings_are_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, again: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    supervisor = supervised(tmp_path, code, said)
    supervisor.start()
    try:

        def mourned() -> bool:
            supervisor.look()
            return any(f"ended with exit code {code}" in line for line in said)

        assert eventually(mourned, 10.0)
        supervisor.look()
    finally:
        supervisor.stop()
    assert sum("started: pid" in line for line in said) == (2 if again else 1)
    assert any("not starting it again" in line for line in said) is not again


def test_workers_are_refused_as_a_whole_when_one_is_refused_at_its_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    supervisor = supervised(tmp_path, EXIT_MISCONFIGURED, [])
    main = tmp_path / "flows" / "cli" / "__main__.py"
    main.write_text(f"import sys; print('Error: mend this'); sys.exit({EXIT_MISCONFIGURED})")
    supervisor.start()
    try:
        supervisor.watch(threading.Event())
    finally:
        supervisor.stop()
    assert supervisor.refused == "w cannot start: mend this"


def test_metrics_ports_follow_the_first_one_in_the_order_of_the_roles(tmp_path: Path) -> None:
    with Reservation(["any"], {}) as held:
        first = held.ports["any"]
    supervisor = Supervisor([Role("a", ()), Role("b", ())], tmp_path, print, first_port=first)
    supervisor.stop()
    assert [*supervisor.addresses().values()] == [f"http://127.0.0.1:{first}", f"http://127.0.0.1:{first + 1}"]


def test_a_metrics_port_that_is_taken_or_above_the_last_is_refused_with_its_setting(tmp_path: Path) -> None:
    with (
        Reservation(["any"], {}) as held,
        pytest.raises(Misconfigured, match="CARILLON_METRICS_PORT is the first of 1"),
    ):
        Supervisor([Role("a", ())], tmp_path, print, first_port=held.ports["any"])
    with pytest.raises(Misconfigured, match="CARILLON_METRICS_PORT=65535 leaves no port for each of 2 workers"):
        Supervisor([Role("a", ()), Role("b", ())], tmp_path, print, first_port=65535)
