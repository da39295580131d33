"""The progress of the demo: redrawn in place on a terminal, one line every two seconds anywhere else."""

import sys
import time
from collections import Counter
from collections.abc import Mapping

import click

from flows.demo.watch import Figures
from schemas import topics
from schemas.channels import CHANNELS
from schemas.vocabulary import Decision, End, Lane

_LINE_EVERY_S = 2.0
_UP_AND_CLEAR = "\x1b[{}F\x1b[J"


class Screen:
    """Shows figures as they come."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._drawn = 0
        self._line_at = 0.0
        self._began = time.monotonic()

    def show(self, figures: Figures, written: Mapping[str, int], what: str) -> None:
        """`written`: records in Kafka by topic; `what`: what is going on, in a word or two."""
        head = f"{time.monotonic() - self._began:5.0f} s  {what}"
        if not self._terminal:
            if time.monotonic() >= self._line_at:
                self._line_at = time.monotonic() + _LINE_EVERY_S
                click.echo(f"{head}: {_line(figures, written)}")
            return
        lines = [head, "", *_lanes(figures, written), "", *_channels(figures)]
        click.echo((_UP_AND_CLEAR.format(self._drawn) if self._drawn else "") + "\n".join(lines))
        self._drawn = len(lines)

    def leave(self) -> None:
        """What follows is printed below."""
        self._drawn = 0


def _line(figures: Figures, written: Mapping[str, int]) -> str:
    lanes = []
    for lane in Lane:
        decided = sum(count for (found, *_), count in figures.decisions.items() if found == lane)
        lanes.append(
            f"{lane} in {written.get(topics.notifications(lane).name, 0)} decided {decided} lag {figures.lag[lane]}"
        )
    ends: Counter[str] = Counter()
    for (_, _, end), count in figures.ends.items():
        ends[end] += count
    return " | ".join(
        [*lanes, " ".join(f"{end} {ends[end]}" for end in End), *map(lambda c: _waits(figures, c), CHANNELS)]
    )


def _waits(figures: Figures, channel: str) -> str:
    return f"{channel} p50 {_ms(figures.percentile(channel, 0.5))} p99 {_ms(figures.percentile(channel, 0.99))} ms"


def _ms(found: float | None) -> str:
    return "-" if found is None else f"{found:.0f}"


def _lanes(figures: Figures, written: Mapping[str, int]) -> list[str]:
    lines = [f"{'lane':8}{'in':>9}" + "".join(f"{decision:>12}" for decision in Decision) + f"{'lag':>8}"]
    for lane in Lane:
        counts: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for (found, decision, reason), count in figures.decisions.items():
            if found == lane:
                counts[decision] += count
                reasons[reason] += count if reason else 0
        into = written.get(topics.notifications(lane).name, 0)
        lines.append(f"{lane:8}{into:9}" + "".join(f"{counts[d]:12}" for d in Decision) + f"{figures.lag[lane]:8}")
        lines.append("        " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(8)))
    return lines


def _channels(figures: Figures) -> list[str]:
    shown = (End.SENT, End.UNKNOWN, End.SUPPRESSED, End.EXPIRED, End.DEAD)
    head = f"{'channel':8}{'calls':>9}" + "".join(f"{end:>12}" for end in shown)
    lines = [f"{head}{'again':>8}{'p50 ms':>8}{'p99 ms':>8}   due to call"]
    for channel in CHANNELS:
        ends: Counter[str] = Counter()
        for (_, found, end), count in figures.ends.items():
            ends[end] += count if found == channel else 0
        calls = {outcome: count for (found, outcome), count in figures.calls.items() if found == channel}
        again = calls.get("throttled", 0) + calls.get("unavailable", 0)
        waits = "".join(f"{_ms(figures.percentile(channel, share)):>8}" for share in (0.5, 0.99))
        counted = "".join(f"{ends[end]:12}" for end in shown)
        lines.append(f"{channel:8}{sum(calls.values()):9}{counted}{again:8}{waits}")
    return lines
