"""What `carillon demo` does in its folder and what it says of it: no server is started."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from flows.cli import demo, environment
from flows.cli.folder import alone
from flows.demo import show
from flows.demo.ending import Ending
from flows.settings import Settings

Carillon = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]
HOME = Path(".carillon/demo")
MINE, OTHER = "127.0.0.1:1111", "127.0.0.1:2222"


class Played(show.Demo):
    """A demo of which only the beginning and the end are left."""

    interrupted = False
    inherited: list[str] = []
    """What lay in its folder when it began."""
    asked: list[tuple[str, str]] = []
    """What the demo would name for another terminal, and which brokers that asks."""

    def _start(self, announce: Callable[[dict[str, str]], str]) -> tuple[Settings, object, list[str]]:  # type: ignore[override]
        self._home.mkdir(parents=True, exist_ok=True)
        if self.interrupted:
            raise KeyboardInterrupt
        self.inherited += sorted(path.name for path in self._home.iterdir())
        self._reach = announce({"CARILLON_KAFKA": MINE})
        self.asked.append((self._reach, brokers_asked(self._reach)))
        return Settings(keys=f"1:{'A' * 43}=", index_key=f"{'A' * 43}="), Nothing(), []

    def _look(self, *_: object) -> None:
        """Nothing goes on."""

    def _drain(self, *_: object) -> None:
        """Nothing is left."""

    def _reckon(self, *_: object) -> bool:
        return True


class Nothing:
    """A sandbox and a sender of nothing."""

    written: dict[str, int] = {}

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: None


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    monkeypatch.setattr(demo, "Demo", Played)
    monkeypatch.setattr(Played, "asked", [])
    monkeypatch.setattr(Played, "inherited", [])
    monkeypatch.setattr(show, "Sender", lambda *_: Nothing())
    monkeypatch.setattr(Ending, "rest", lambda self: None)
    return Played


ASK = "import os, pathlib; from flows.cli.environment import fill; fill(os.environ, pathlib.Path()); "
ASK += "print(os.environ['CARILLON_KAFKA'])"


def brokers_asked(reach: str) -> str:
    """Which brokers a command asks that is typed after `reach` in another terminal of this folder."""
    line = f"{reach}{sys.executable} -c {shlex.quote(ASK)}"
    return subprocess.check_output(["sh", "-c", line], env={"PYTHONPATH": str(REPOSITORY)}, text=True).strip()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("other", [None, f"CARILLON_KAFKA={OTHER}\n"])
def test_the_command_it_names_for_another_terminal_asks_the_demo_whatever_stack_the_folder_knows(
    other: str | None, killed: bool, carillon: Carillon, played: type[Played]
) -> None:
    HOME.mkdir(parents=True)
    if killed:
        (HOME / "stack.env").write_text(f"CARILLON_KAFKA={OTHER}\n")
    if other is not None:
        environment.STACK.write_text(other)
    done = carillon("demo", "--stay")
    assert done.exit_code == 0, done.output
    [(reach, asked)] = played.asked
    assert asked == MINE
    assert f"in another terminal of this folder: {reach}carillon dlq ls\n" in done.output
    assert (environment.STACK.read_text() if environment.STACK.exists() else None) == other
    assert not HOME.exists()


def test_the_tables_of_a_demo_that_was_killed_are_not_those_of_the_next(
    carillon: Carillon, played: type[Played]
) -> None:
    (HOME / "state" / "demo-high-0").mkdir(parents=True)
    (HOME / "logs").mkdir()
    assert carillon("demo").exit_code == 0
    assert played.inherited == ["logs"]


@pytest.mark.usefixtures("played")
def test_a_second_demo_in_the_folder_is_refused_and_leaves_the_first_its_data(carillon: Carillon) -> None:
    environment.local_keys(Path.cwd())
    HOME.mkdir()
    with alone(environment.KEYS, ""):
        done = carillon("demo")
    assert done.exit_code == 2
    assert "a demo runs in this folder already" in done.stderr
    assert HOME.exists()


def test_a_demo_that_is_interrupted_before_it_began_removes_its_own_data(
    carillon: Carillon, played: type[Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(played, "interrupted", True)
    done = carillon("demo")
    assert (done.exit_code, done.output) == (1, "Stopped before it began.\n")
    assert {path.name for path in environment.HOME.iterdir()} == {"keys.env"}


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("given", ["nan", "inf", "-1", "-inf", "soon"])
def test_a_time_that_never_comes_is_refused(given: str, carillon: Carillon) -> None:
    for done in (carillon("demo", "--seconds", given), carillon("demo", env={"DEMO_SECONDS": given})):
        assert done.exit_code == 2
        assert "--seconds" in done.stderr


@pytest.mark.parametrize("command", ["demo", "up"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_starts(command: str, carillon: Carillon) -> None:
    environment.HOME.write_text("in the way")
    done = carillon(command)
    assert done.exit_code == 2
    assert ".carillon cannot be written (File exists)" in done.stderr
    assert "go to a folder of your own" in done.stderr
