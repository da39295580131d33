"""A table of text with columns as wide as what is in them."""

from collections.abc import Sequence

import click


def show(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print it; nothing but the headings where there are no rows."""
    lines = [[str(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
