"""What faults do: rate and wait over time, recoveries, repeats by cause."""

from collections import Counter
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.report.gallery import BLUE, GREEN, GREY, ORANGE, PINK, headline
from tests.report.markdown import number
from tests.report.results import Result
from tests.report.seeds import AFTER_S, BEFORE_S, PROMPT_MS, middle

_FLOOR_MS = 1


def over_time(figure: Figure, seed: Result) -> None:
    """Rate and wait of each second of one seed, its faults as bands."""
    seconds = seed["seconds"]
    rate, wait = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    time = range(len(seconds["due"]))
    headline(figure, f"{len(seed['struck'])} strikes in {_loaded_s(seed)} s: {number(seed.get('lost'))} of "
                     f"{seed['accepted']:,} accepted were lost")  # fmt: skip
    rate.step(time, seconds["due"], where="post", color=GREY, label="due (high lane)")
    rate.step(time, seconds["called"], where="post", color=BLUE, label="provider calls (both lanes)")
    rate.set_ylabel("per second")
    due = [second for second in time if seconds["due"][second]]
    for share, colour in (("p99", ORANGE), ("p50", BLUE)):
        found = [max(_FLOOR_MS, seconds[f"{share}_ms"][second]) for second in due]
        wait.plot(due, found, color=colour, label=f"{share}, due to call")
    _prompt(wait)
    wait.set_yscale("log")
    wait.set_ylabel("ms")
    wait.set_xlabel("seconds since the load began (a wait stands at the second in which it was due)")
    for place, strike in enumerate(seed["struck"], start=1):
        for axes in (rate, wait):
            axes.axvspan(strike["struck_s"], max(strike["healed_s"], strike["struck_s"] + 0.3), color=PINK, alpha=0.35)
        rate.annotate(str(place), (strike["struck_s"], 1), (0, 1), xycoords=("data", "axes fraction"),
                      textcoords="offset points", color="#8A3A6B", fontsize=9)  # fmt: skip
    for axes in (rate, wait):
        axes.legend(loc="upper right", ncols=3, fontsize=8)
        axes.set_ylim(top=axes.get_ylim()[1] * (1.35 if axes is rate else 6))


def strikes_of(seed: Result) -> str:
    """The key to the numbers in the picture."""
    named = (" + ".join(strike["faults"]).replace("_", " ") for strike in seed["struck"])
    return ", ".join(f"{place} {name}" for place, name in enumerate(named, start=1))


def recovery(figure: Figure, curves: dict[str, list[dict[int, int]]]) -> None:
    """The wait around a fault: the median over its strikes, the range of them behind it."""
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    headline(figure, "How soon calls are prompt again after a fault")
    for axes, (name, found), colour in zip(panels, curves.items(), cycle((BLUE, GREEN, ORANGE)), strict=False):
        rows = middle(found)
        time = [row[0] for row in rows]
        low, centre, high = ([max(_FLOOR_MS, row[column]) for row in rows] for column in (1, 2, 3))
        axes.fill_between(time, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(time, centre, color=colour, marker="o", markersize=3)
        axes.axvline(0, color=PINK)
        _prompt(axes)
        axes.set_yscale("log")
        axes.set_xlim(-BEFORE_S, AFTER_S)
        axes.set_title(f"{name.replace('_', ' ')} ({len(found)} strikes)")
        axes.set_xlabel("s after its end")
    panels[0].set_ylabel("p99, due to call, ms")


def by_cause(figure: Figure, repeats: Counter[str], calls: int | None) -> None:
    """Repeated calls by cause, over all seeds."""
    axes = figure.subplots()
    causes = list(repeats)
    explained = {"unknown outcome", "crash window"}
    bars = axes.barh(causes, [repeats[cause] for cause in causes],
                     color=[BLUE if cause in explained else ORANGE for cause in causes], height=0.6)  # fmt: skip
    axes.bar_label(bars, padding=4)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"calls that a provider took a second time, of {calls or 0:,} calls")
    wrong = sum(count for cause, count in repeats.items() if cause not in explained)
    headline(figure, f"{repeats.total():,} calls were repeated, {wrong:,} of them without a right to it")
    axes.set_xlim(0, max(1, *repeats.values()) * 1.15)


def _prompt(axes: Axes) -> None:
    axes.axhline(PROMPT_MS, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(f"{PROMPT_MS} ms", (1, PROMPT_MS), (-2, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", ha="right", fontsize=8, color=GREY)  # fmt: skip


def _loaded_s(seed: Result) -> int:
    return max(second for second, due in enumerate(seed["seconds"]["due"]) if due) + 1
