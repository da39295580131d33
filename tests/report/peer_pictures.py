"""Carillon beside its peers: what an event costs, how soon each is back, what each loses and repeats."""

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.report.gallery import BLUE, GREY, ORANGE, OURS, PINK, THEIRS, headline, ranges
from tests.report.results import Result

Runs = dict[str, list[Result]]
"""Figures of each run by peer."""
_COMPARED = {"carillon": "Carillon", "streams like": "Kafka Streams writing the same"}
"""The two of the headline: both write the same records."""
_BEHIND = "bytewax"
"""What it has done shows in its outputs alone, which come behind its work: no stretch of it can be told."""


def title_of(peer: str) -> str:
    """What people call it."""
    name, _, variant = peer.partition(" ")
    told = {"carillon": "Carillon", "plain": "plain loop", "streams": "Kafka Streams", "quix": "Quix Streams"}
    told |= {"bytewax": "Bytewax", "faust": "Faust", "faust-tuned": "Faust tuned"}
    return f"{told.get(name, name)}, {variant}" if variant else told.get(name, name)


def tells(peer: str, field: str) -> bool:
    """Whether a figure of this peer says anything."""
    return field != "steady_us" or not peer.startswith(_BEHIND)


def cost(figure: Figure, peers: Runs) -> None:
    """CPU of one routed event: whole run and steady window."""
    axes = figure.subplots()
    names = sorted(peers, key=lambda name: _middle(peers, name, "cpu_us"))
    colours = _colours(names)
    ranges(axes, [title_of(name) for name in names], [_column(peers, name, "cpu_us") for name in names], colours,
           label="whole run, median and range")  # fmt: skip
    warm = {row: _middle(peers, name, "steady_us") for row, name in enumerate(names) if tells(name, "steady_us")}
    axes.plot(list(warm.values()), list(warm), "|", color=ORANGE, markersize=11, markeredgewidth=2,
              label="warm, second half")  # fmt: skip
    _log(axes, max(run["cpu_us"] for runs in peers.values() for run in runs))
    axes.set_xlabel("CPU us of the worker for one event (user + system, all threads; log scale)")
    axes.legend(loc="upper right")
    told = [f"{who} {_middle(peers, name, 'cpu_us'):.3g} us" for name, who in _COMPARED.items() if name in peers]
    headline(figure, f"CPU to route an event: {'; '.join(told)}" if told else "CPU to route an event")


def recovery(figure: Figure, peers: Runs) -> None:
    """Seconds from the start of the process to its first deliveries, its local state wiped."""
    axes = figure.subplots()
    names = sorted(peers, key=lambda name: _middle(peers, name, "recovery_s"))
    ranges(axes, [title_of(name) for name in names], [_column(peers, name, "recovery_s") for name in names],
           _colours(names))  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds from the start of the process to the last of its first deliveries")
    headline(figure, "How soon each routes again after it lost its local state")


def kills(figure: Figure, rows: Sequence[Result], count: int) -> None:
    """Deliveries lost, and requests let through again, under the kills."""
    shown = [row for row in rows if "lost" in row]
    panels = figure.subplots(1, 3, sharey=True)
    names = [title_of(row["peer"]) for row in shown]
    for axes, (field, what), colour in zip(panels, _HARM.items(), (ORANGE, PINK, BLUE), strict=True):
        values = [row[field] for row in shown]
        bars = axes.barh(names, values, color=colour, height=0.6)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=9)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, max(10, *values) * 8)
        axes.set_xticks([])
        axes.set_title(what)
        axes.grid(visible=False, axis="y")
    panels[0].invert_yaxis()
    for label, row in zip(panels[0].get_yticklabels(), shown, strict=True):
        label.set_color(OURS if row["peer"] == "carillon" else "black")
    told = (f"Carillon loses {row['lost']:,} of {row['deliveries']:,}" for row in shown if row["peer"] == "carillon")
    headline(figure, f"Under {count} kills {next(told, 'Carillon was not measured')}")


_HARM = {"lost": "deliveries lost", "let_through": "repeats let through", "twice": "deliveries written twice"}


def steady_wait(figure: Figure, rates: dict[str, list[Result]]) -> None:
    """Added latency of each peer by the rate: p50 and p99."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, share in zip(panels, ("p50_ms", "p99_ms"), strict=True):
        for name, colour, mark in _lines(rates):
            rows = [row for row in rates[name] if row.get(share) is not None]
            axes.plot([row["rate"] for row in rows], [max(row[share], 0.5) for row in rows], color=colour, marker=mark,
                      label=title_of(name))  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        _rates_as_ticks(axes, rates)
        axes.set_title(share.removesuffix("_ms"))
    panels[0].set_ylabel("added latency, ms")
    panels[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    headline(figure, "What routing adds to an event's way at a steady rate")


def steady_cost(figure: Figure, rates: dict[str, list[Result]]) -> None:
    """CPU of worker and broker for one event, by the rate."""
    every = sorted({row["rate"] for rows in rates.values() for row in rows})
    panels = figure.subplots(1, len(every), sharey=True, squeeze=False)[0]
    names = list(rates)
    for axes, rate in zip(panels, every, strict=True):
        left = [0.0] * len(names)
        for field, colour in (("worker_us", BLUE), ("broker_us", GREY)):
            values = [
                next((row.get(field) or 0.0 for row in rates[name] if row["rate"] == rate), 0.0) for name in names
            ]
            axes.barh([title_of(name) for name in names], values, left=left, color=colour, height=0.6,
                      label=field.removesuffix("_us"))  # fmt: skip
            left = [before + value for before, value in zip(left, values, strict=True)]
        for place, sum_us in enumerate(left):
            axes.annotate(
                f"{sum_us:,.0f}", (sum_us, place), (3, 0), textcoords="offset points", va="center", fontsize=9
            )
        axes.set_xlim(0, max(left) * 1.25)
        axes.grid(visible=False, axis="y")
        axes.set_title(f"{rate:,}/s")
        axes.set_xlabel("CPU us per event")
    panels[0].invert_yaxis()
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    headline(figure, "What an event costs worker and broker at a steady rate")


def _log(axes: Axes, highest: float) -> None:
    axes.set_xscale("log")
    ticks = [tick for tick in (5, 10, 20, 50, 100, 200, 500, 1000) if tick < highest * 2]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def _rates_as_ticks(axes: Axes, rates: dict[str, list[Result]]) -> None:
    every = sorted({row["rate"] for rows in rates.values() for row in rows})
    axes.set_xticks(every, [f"{rate:,}" for rate in every])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("events per second")


def _lines(rates: dict[str, list[Result]]) -> list[tuple[str, str, str]]:
    others = iter(((ORANGE, "s"), (GREY, "^"), (PINK, "D"), ("#009E73", "v"), ("#E69F00", "P"), ("#56B4E9", "X")))
    return [(name, *((BLUE, "o") if name == "carillon" else next(others, ("black", "x")))) for name in rates]


def _colours(names: Sequence[str]) -> list[str]:
    return [OURS if name == "carillon" else THEIRS for name in names]


def _column(peers: Runs, name: str, field: str) -> list[float]:
    return [run[field] for run in peers[name]]


def _middle(peers: Runs, name: str, field: str) -> float:
    return statistics.median(_column(peers, name, field))
