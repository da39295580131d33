"""`carillon up` and `carillon keys`."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import click

from deploy.local import up as local_stack
from flows.cli import environment
from flows.cli.folder import alone
from flows.settings import Settings


@click.command()
@click.option("--fresh", is_flag=True, help="Wipe what earlier servers and workers left: data, and CARILLON_STATE.")
def up(fresh: bool) -> None:
    """Keep Kafka, Redis, DynamoDB, S3 and the provider sandbox up on 127.0.0.1 until Ctrl-C.

    Every other command in this folder finds them by itself.

    \b
    Example:  carillon up --fresh
    """
    environment.local_keys(Path.cwd())
    if fresh:
        forget(Settings.from_environment().state)
    local_stack.up(Path.cwd(), fresh)


def forget(state: Path) -> None:
    """Remove what workers left in their state folder: with an empty Kafka none of it can be used. Raises Misconfigured,
    with nothing removed, where a worker runs there."""
    locks = sorted(state.glob("*/lock"))
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(alone(lock, f"a worker runs in {lock.parent}: stop it before its servers begin anew"))
        for lock in locks:
            shutil.rmtree(lock.parent)


@click.command()
def keys() -> None:
    """Print a fresh key ring and index key as settings. Keep both: what they sealed opens with nothing else.

    A shell takes them so: set -a; . ./settings.env; set +a

    To rotate, add an `id:key` to CARILLON_KEYS of every process, run `carillon setup`, then restart the workers: the
    highest id seals, every id opens. The index key stays.

    \b
    Example:  carillon keys >> settings.env
    """
    click.echo(environment.as_lines(environment.fresh_keys()), nl=False)
