"""What `carillon up --fresh` removes before its servers start, and what it leaves alone."""

from pathlib import Path

import pytest

from flows.cli.folder import alone
from flows.cli.local import forget
from schemas.errors import Misconfigured


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with that of two workers, and something else in it."""
    for name in ("high-0", "low-0"):
        (tmp_path / name / "route.high").mkdir(parents=True)
        (tmp_path / name / "lock").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    return tmp_path


def test_the_state_of_workers_goes_with_the_data_of_their_servers_and_nothing_else_does(state: Path) -> None:
    forget(state)
    assert [path.name for path in state.iterdir()] == ["mine"]


def test_while_a_worker_runs_nothing_is_removed(state: Path) -> None:
    with alone(state / "low-0" / "lock", ""), pytest.raises(Misconfigured, match="a worker runs in .*low-0: stop it"):
        forget(state)
    assert {path.name for path in state.iterdir()} == {"high-0", "low-0", "mine"}


def test_a_state_folder_that_is_not_there_yet_is_no_hindrance(tmp_path: Path) -> None:
    forget(tmp_path / "state")
