"""The supervisor over a program that stands for the worker: it ends as it is told to."""

from pathlib import Path

import pytest

from flows.engine.stop import EXIT_BROKEN, EXIT_FAULTY
from flows.supervisor import Role, Supervisor
from tests.watching import eventually


def supervised(folder: Path, code: int, said: list[str]) -> Supervisor:
    """A supervisor of one worker, which in this folder ends at once with an exit code."""
    (folder / "flows" / "cli").mkdir(parents=True)
    (folder / "flows" / "__init__.py").touch()
    (folder / "flows" / "cli" / "__init__.py").touch()
    (folder / "flows" / "cli" / "__main__.py").write_text(f"raise SystemExit({code})")
    (folder / "logs").mkdir()
    return Supervisor([Role("w", ())], folder / "logs", said.append)


@pytest.mark.parametrize(("code", "again"), [(EXIT_BROKEN, True), (EXIT_FAULTY, False)])
def test_a_worker_that_ended_is_started_again_unless_its_own_code_is_at_fault(
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
