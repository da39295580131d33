"""`carillon demo`."""

import os
import shutil
import sys
from pathlib import Path

import click

from deploy.local.stack import StackError
from flows.cli import environment
from flows.cli.environment import HOME
from flows.cli.trace import tell
from flows.demo.ending import listening
from flows.demo.show import Demo
from schemas.errors import Misconfigured


@click.command()
@click.option("--seconds", type=float, envvar="DEMO_SECONDS", help="Send for so long; without it until Ctrl-C.")
@click.option("--stay", is_flag=True, help="Keep everything up after the summary, to look around, until Ctrl-C.")
def demo(seconds: float | None, stay: bool) -> None:
    """Everything at once, on servers of its own: real Kafka, real workers, traffic, faults, and a reckoning.

    Ends with two sums: every record that came in has one decision, every delivery announced has one end. The exit code
    is 0 only if both close. A first Ctrl-C stops the sending, a second one the waiting; nothing is left behind.

    \b
    Example:  DEMO_SECONDS=20 carillon demo
    """
    folder = Path.cwd()
    home, keys = folder / HOME / "demo", environment.local_keys(folder)
    shown = _Shown(folder / environment.STACK)
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
    """The settings of the demo's servers, where other commands look for them, unless a `carillon up` is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._mine = False

    def write(self, settings: dict[str, str]) -> None:
        """Write them, for their owner alone."""
        if not self._file.exists():
            self._mine = True
            with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
                target.write(environment.as_lines(settings))

    def remove(self) -> None:
        """Take them away again."""
        if self._mine:
            self._file.unlink(missing_ok=True)
