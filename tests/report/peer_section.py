"""The page's part on the peers: the same routing work, side by side."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tests.report import peer_pictures
from tests.report.gallery import Gallery
from tests.report.markdown import spread, table
from tests.report.peer_pictures import tells, title_of
from tests.report.results import Result, Results

PEERS, KILLS, STEADY = "make bench-peers PEERS=all", "make bench-kills", "make bench-steady"
_COLUMNS = {
    "cpu_us": "CPU us/event",
    "steady_us": "warm",
    "wall_per_s": "events/s",
    "rss_mb": "RSS, MB",
    "recovery_s": "recovery, s",
    "again": "written again",
    "lost": "lost",
}
_HARM = {
    "kills": "kills",
    "deliveries": "deliveries",
    "lost": "lost",
    "wrong": "wrong",
    "let_through": "repeats let through",
    "twice": "written twice",
    "back_s": "back after, s",
}
VARIANTS = (
    "`lean` writes deliveries and a changelog only; `like` writes what Carillon writes, too: sealed params, a decision "
    "record for every input, the digest that tells a repeat from a conflict; `exactly` is that in transactions. The "
    "head of each file in [tests/bench/peers](../bench/peers) says what that peer does and leaves out."
)


def section(results: Results, gallery: Gallery) -> list[str]:
    """Its paragraphs."""
    backlog = results.peers("bench/peers") or results.get("bench/route")
    known: list[str] = list(backlog["peers"]) if backlog else []
    return [
        "## Beside the peers",
        "Dedup, the join with preferences and routing to channel topics, each peer checked for equal outputs first. "
        + VARIANTS,
        *_backlog(backlog, gallery),
        *_again(
            "On a larger backlog", results.get("bench/route") if results.get("bench/peers") else None, _sizes, _routed
        ),
        *_kills(results.peers("bench/kills"), known, gallery),
        *_steady(results.peers("bench/steady"), known, gallery),
        *_again("At a steady rate, every peer", results.get("bench/every-steady"), _seconds, _rated),
    ]


def _again(head: str, found: Result | None, sizes: Callable[[Result], str], rows: Callable[[Result], str]) -> list[str]:
    """Another run of the same work: its table alone, since figures of two runs do not compare."""
    return [f"### {head}", f"Another run, to be read for itself. {sizes(found)}", rows(found)] if found else []


def _sizes(found: Result) -> str:
    return (
        f"{found['events']:,} events of {found['users']:,} users, the two Fausts a fifth of both. Median and range of "
        f"the runs: {found['runs']}."
    )


def _seconds(found: Result) -> str:
    return f"{found['seconds']} s a rate."


def _missing(known: Sequence[str], shown: Collection[str]) -> str:
    """Which peers of the backlog's table have no row in another."""
    missing = "; ".join(title_of(name) for name in known if name not in shown)
    return f"Not measured here: {missing}." if missing else ""


def _backlog(found: Result | None, gallery: Gallery) -> list[str]:
    cost, recovery = "CPU per routed event, beside the peers", "Recovery with local state wiped, beside the peers"
    if found is None:
        pictures = [gallery.leave_empty("peers-cost", cost, PEERS)]
        return ["### On a backlog", *pictures, gallery.leave_empty("peers-recovery", recovery, PEERS)]
    peers: dict[str, list[Result]] = found["peers"]
    height = 1.3 + 0.36 * len(peers)
    return [
        "### On a backlog",
        _sizes(found),
        gallery.hang("peers-cost", cost, lambda figure: peer_pictures.cost(figure, peers), size=(8.0, height)),
        _routed(found),
        gallery.hang("peers-recovery", recovery, lambda f: peer_pictures.recovery(f, peers), size=(8.0, height)),
    ]


def _routed(found: Result) -> str:
    rows = [
        (title_of(name), *(spread(run[field] for run in runs if tells(name, field)) for field in _COLUMNS))
        for name, runs in found["peers"].items()
    ]
    return table(("peer", *_COLUMNS.values()), rows)


def _kills(found: Result | None, known: Sequence[str], gallery: Gallery) -> list[str]:
    alt, head = "Loss and repeats under kills, beside the peers", "### Loss and repeats under kills"
    if found is None:
        return [head, gallery.leave_empty("peers-kills", alt, KILLS)]
    rows: list[Result] = found["peers"]
    size = (8.0, 1.5 + 0.32 * len(rows))
    trouble = [f"* {title_of(row['peer'])}: {row['trouble']}" for row in rows if row.get("trouble")]
    return [
        head,
        f"The worker of each is killed with -9 {found['kills']} times under {found['rate']:,} events/s and started "
        "again at once with its local state; the two Fausts have a fifth of the events and of the rate.",
        gallery.hang("peers-kills", alt, lambda f: peer_pictures.kills(f, rows, found["kills"]), size=size),
        table(("peer", "events", *_HARM.values()), [_harm(row) for row in rows]),
        _missing(known, {row["peer"] for row in rows}),
        *(["These did not finish:\n\n" + "\n".join(trouble)] if trouble else []),
    ]


def _harm(row: Result) -> tuple[Any, ...]:
    back = row.get("back_s_range")
    figures: list[Any] = [row.get(field) for field in _HARM]
    if back:
        figures[-1] = f"{row['back_s']:.3g} [{back[0]:.3g} to {back[1]:.3g}]"
    return title_of(row["peer"]), row.get("events"), *figures


def _steady(found: Result | None, known: Sequence[str], gallery: Gallery) -> list[str]:
    head, wait = "### At a steady rate", "Added latency at a steady rate, beside the peers"
    cost = "CPU of worker and broker at a steady rate, beside the peers"
    if found is None:
        empty = [gallery.leave_empty(name, alt, STEADY) for name, alt in (("steady-wait", wait), ("steady-cost", cost))]
        return [head, *empty]
    rates: dict[str, list[Result]] = found["peers"]
    return [
        head,
        "Added latency is the append time of a delivery less that of its notification; CPU is of the same stretch. A "
        "peer that is behind at the end has no latency worth the name.",
        gallery.hang("steady-wait", wait, lambda figure: peer_pictures.steady_wait(figure, rates)),
        gallery.hang("steady-cost", cost, lambda figure: peer_pictures.steady_cost(figure, rates)),
        _rated(found),
        _missing(known, rates),
    ]


def _rated(found: Result) -> str:
    fields = ("rate", "p50_ms", "p99_ms", "behind", "worker_us", "broker_us", "sum_us")
    each = [(name, row) for name, rows in found["peers"].items() for row in rows]
    titles = (
        "peer",
        "events/s",
        "p50, ms",
        "p99, ms",
        "behind at the end",
        "worker us/event",
        "broker us/event",
        "sum",
    )
    return table(titles, [(title_of(name), *(row.get(field) for field in fields)) for name, row in each])
