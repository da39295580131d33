"""Keep the local stack up until Ctrl-C: what `carillon up` runs; on its own, `python -m deploy.local.up [--fresh]`."""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import click

from deploy.local import accounts
from deploy.local.stack import Stack, StackError

WATCH_SECONDS = 0.5
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(root: Path, fresh: bool = False, *, ports: Mapping[str, int] | None = None) -> None:
    """Start the stack, print its addresses, write them to `root/.carillon/stack.env`, and watch it.

    The file is for a shell to read and has made-up accounts for the sandbox's providers too.

    Returns after Ctrl-C, SIGTERM or SIGHUP with everything stopped and the file removed. Exits with code 1, saying why,
    when the stack does not start or a server dies.
    """
    settings = root / ".carillon" / "stack.env"
    stack, mine = Stack(root, fresh=fresh, ports=ports), False
    with _ending() as ending:
        try:
            addresses = stack.start(click.echo).environment()
            everything, mine = addresses | accounts.environment(), True
            settings.write_text("".join(f"{name}={quote(value)}\n" for name, value in everything.items()))
            _announce(addresses, settings)
            while not ending.wait(WATCH_SECONDS):
                stack.check()
        except StackError as error:
            sys.exit(str(error))
        finally:
            if mine:  # one that did not start because another runs here must not take that one's away
                settings.unlink(missing_ok=True)
            stack.stop()
    click.echo("Stopped.")


def _announce(addresses: Mapping[str, str], settings: Path) -> None:
    for name, value in addresses.items():
        click.echo(f"{name}={value}")
    click.echo(
        "Ready. `carillon` finds it from this folder: `carillon setup`, then `carillon run`. Ctrl-C stops everything."
    )
    click.echo(f"For a shell and other programs: set -a; . {settings}; set +a")


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """An event that the signals of an orderly end set; their former handlers come back afterwards."""
    event = threading.Event()
    former = {number: signal.signal(number, lambda *_: event.set()) for number in ENDINGS}
    try:
        yield event
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    up(Path.cwd(), fresh="--fresh" in sys.argv)
