"""The page's part on stages struck alone: routing, routing on more workers and on fewer, delivery."""

from typing import NamedTuple

from tests.report.markdown import number, table
from tests.report.results import Result, Results

ROUTE, SCALE, DELIVER = "make chaos-route", "make chaos-scale", "make chaos-deliver"
_LOST = ("undecided", "held_for_ever", "routed_but_not_written")
_ROUTING = ("inputs", *_LOST, "decided_otherwise", "decided_twice", "re_emitted")
_DELIVERY = {
    "hurts": "kills",
    "calls": "calls",
    "repeats": "calls repeated",
    "repeats_per_hurt_at_most": "most after one kill",
    "repeats_unflagged": "unflagged",
    "lost": "lost of what was accepted",
}


class Routed(NamedTuple):
    """What the seeds of routing come to together."""

    inputs: int
    strikes: int
    lost: int


def section(results: Results) -> list[str]:
    """Its paragraphs."""
    return [
        "### Routing alone",
        _routing(results.get("chaos/route")),
        "### Routing on more workers and on fewer",
        _scale(results.get("chaos/scale")),
        "### Delivery alone",
        _delivery(results.get("chaos/deliver")),
    ]


def routed(found: Result | None) -> Routed | None:
    """The seeds of routing together, but for those that were broken off; nothing if there are none."""
    ran = _ran(found) if found else []
    if found is None or not ran:
        return None
    return Routed(sum(seed["inputs"] for seed in ran), found["faults_a_seed"] * len(ran), sum(map(_lost, ran)))


def _ran(found: Result) -> list[Result]:
    return [seed for seed in found["seeds"] if "inputs" in seed]


def _lost(figures: Result) -> int:
    return sum(figures[name] for name in _LOST)


def _routing(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{ROUTE}` has left nothing."
    ran = _ran(found)
    strikes = found["faults_a_seed"]
    rows = [(str(seed["seed"]), ", ".join(seed["kinds"]), strikes, *(seed[name] for name in _ROUTING)) for seed in ran]
    every = [sum(seed[name] for seed in ran) for name in _ROUTING]
    rows.append(("together", "", strikes * len(ran), *every))
    red = ", ".join(str(seed) for seed in found["failed_seeds"]) or "none"
    return (
        "Two workers on a backlog and a stream, struck every few seconds; an end in order may write nothing twice, "
        "whatever else struck has deliver see the same delivery again and drop it:\n\n"
        + table(("seed", "struck by", "strikes", *(name.replace("_", " ") for name in _ROUTING)), rows, words=2)
        + f"\n\nSeeds that turned red: {red}."
    )


def _scale(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{SCALE}` has left nothing."
    rows = [(str(step["workers"]), step["ready_s"]) for step in found["steps"]]
    return (
        f"{number(found['inputs'])} inputs under a steady load, while workers are added and end in order, one size "
        "after the other; where they only end, there is nothing to wait for:\n\n"
        + table(("workers", "seconds until the new ones are ready"), rows)
        + f"\n\nLost: {number(_lost(found))}. Written again: {number(found['re_emitted'])}. "
        f"Drained after {number(found['drained_s'])} s. {_red(found)}"
    )


def _delivery(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{DELIVER}` has left nothing."
    figures = found | {"repeats": sum(found["repeats"].values())}
    rows = [(what, figures[name]) for name, what in _DELIVERY.items()]
    return (
        "The workers that send SMS, killed with -9 while their calls are under way; a repeated call that was not told "
        f"as unknown before is unflagged:\n\n{table(('delivery', 'figure'), rows)}\n\n{_red(found)}"
    )


def _red(found: Result) -> str:
    return f"Checks that turned red: {', '.join(found['faults']) or 'none'}."
