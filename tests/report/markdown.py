"""Figures as text: numbers, spreads, tables."""

import statistics
from collections.abc import Iterable, Sequence

NONE = "not measured"


def number(value: object) -> str:
    """A figure to be read: whole ones with thousands apart, others to three digits; what is absent is said."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def spread(values: Iterable[float | None]) -> str:
    """The median of some runs, and their range where it is one."""
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    low, middle, high = (number(value) for value in (min(known), statistics.median(known), max(known)))
    return middle if low == high else f"{middle} [{low} to {high}]"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> str:
    """A table; the first columns are words, the others figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" * words + "|--:" * (len(head) - words) + "|"]
    lines += ["| " + " | ".join(number(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
