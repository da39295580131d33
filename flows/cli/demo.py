"""`carillon demo`."""

import math
import shutil
import sys
from pathlib import Path

import click

from deploy.local.stack import StackError
from flows.cli import environment
from flows.cli.environment import HOME
from flows.cli.folder import alone
from flows.cli.trace import tell
from flows.demo.ending import listening
from flows.demo.show import Demo
from schemas.errors import Misconfigured


def finite(context: click.Context, parameter: click.Parameter, given: float | None) -> float | None:
    """A time that comes."""
    if given is not None and not 0 <= given < math.inf:
        raise click.BadParameter("give a number of seconds, 0 or more")
    return given


@click.command()
@click.option(
    "--seconds",
    type=float,
    callback=finite,
    envvar="DEMO_SECONDS",
    help="Send for so long; without it until Ctrl-C.",
)
@click.option("--stay", is_flag=True, help="Keep everything up after the summary, to look around, until Ctrl-C.")
def demo(seconds: float | None, stay: bool) -> None:
    """Everything at once, on servers of its own: real Kafka, real workers, traffic, faults, and a reckoning.

    Ends with two sums: every record that came in has one decision, every delivery announced has one end. The exit code
    is 0 only if both close. A first Ctrl-C stops the sending, a second one the waiting; nothing is left behind.

    \b
    Example:  DEMO_SECONDS=20 carillon demo
    """
    folder = Path.cwd()
    keys = environment.local_keys(folder)
    # The keys stay when a demo ends, so the file can be what one demo at a time holds: what it removes is its own.
    with alone(folder / environment.KEYS, "a demo runs in this folder already: stop it, or go to another folder"):
        _run(folder, keys, seconds, stay)


def _run(folder: Path, keys: dict[str, str], seconds: float | None, stay: bool) -> None:
    """The one demo of a folder."""
    home = folder / HOME / "demo"
    # What a demo left that was killed, or whose sums did not close, is of servers that are gone.
    shutil.rmtree(home / "state", ignore_errors=True)
    (home / environment.STACK.name).unlink(missing_ok=True)
    shown = _Shown(folder, home)
    try:
        with listening() as ending:
            closed = Demo(home, keys, ending, tell).run(seconds, stay, shown.write)
    except StackError as error:
        raise Misconfigured(str(error)) from None
    except KeyboardInterrupt:
        shutil.rmtree(home, ignore_errors=True)
        click.echo("Stopped before it began.")
        sys.exit(1)
    finally:
        shown.remove()
    if not closed:
        click.echo(f"What servers and workers logged: {home}")
        sys.exit(1)
    shutil.rmtree(home)


class _Shown:
    """The settings of the demo's servers: where other commands look for them, or in its `home` where another stack's
    are there."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder, self._home = folder, home
        self._mine: Path | None = None

    def write(self, settings: dict[str, str]) -> str:
        """Write them, for their owner alone; returns what a shell in the folder runs first to reach the demo."""
        usual, own = self._folder / environment.STACK, self._home / environment.STACK.name
        self._mine = own if usual.exists() else usual
        environment.write(self._mine, settings)
        return f"set -a; . {own.relative_to(self._folder)}; set +a; " if self._mine == own else ""

    def remove(self) -> None:
        """Take them away again."""
        if self._mine is not None:
            self._mine.unlink(missing_ok=True)
