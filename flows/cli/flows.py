"""`carillon flows`: the roster."""

import click

from flows import roster
from flows.cli.table import show
from flows.picture import picture as topology


@click.command()
@click.option("--picture", is_flag=True, help="Print the whole topology: every flow, what it reads and writes.")
def flows(picture: bool) -> None:
    """List the flows by name: their lane and tables. `--picture` adds what each reads and writes.

    \b
    Example:  carillon flows --picture
    """
    if picture:
        click.echo(topology(), nl=False)
        return
    rows = [
        (entry.name, entry.lane or "-", ", ".join(f"{t.name} ({t.kind})" for t in entry.tables) or "-")
        for entry in roster.FLOWS.values()
    ]
    show(("flow", "lane", "tables"), rows)
