"""`carillon up` and `carillon keys`."""

from pathlib import Path

import click

from deploy.local import up as local_stack
from flows.cli import environment


@click.command()
@click.option("--fresh", is_flag=True, help="Wipe what an earlier run left.")
def up(fresh: bool) -> None:
    """Keep Kafka, Redis, DynamoDB, S3 and the provider sandbox up on 127.0.0.1 until Ctrl-C.

    Every other command in this folder finds them by itself.

    \b
    Example:  carillon up --fresh
    """
    environment.local_keys(Path.cwd())
    local_stack.up(Path.cwd(), fresh)


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
