"""The page's part on the whole pipeline: what it sustains, and how long a call takes to be made."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.report.gallery import BLUE, GREEN, GREY, ORANGE, Gallery, headline
from tests.report.markdown import number, table
from tests.report.results import Result, Results

PIPELINE, LATENCY, BLAST = "make bench-pipeline", "make bench-latency", "make bench-blast"
TWO = f"{PIPELINE} WORKERS=2 AS=pipeline-two"
AGAIN = "bench/pipeline-again-"
"""How the results of further runs of one worker a lane are called: AS=pipeline-again-1."""
OURS = ("high", "low", "record")
_SHARES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999, "p9999_ms": 0.9999}
_FIGURES = {
    "sustained_per_s": "sustained, notifications/s (0: not searched)",
    "at_rate": "measured at, notifications/s",
    "p50_ms": "due to call, p50, ms",
    "p99_ms": "p99, ms",
    "p999_ms": "p99.9, ms",
    "max_ms": "longest, ms",
    "calls": "calls",
    "lost": "lost",
    "called_twice": "called twice",
    "statuses_drained_s": "statuses drained after the load, s",
    "generator_late_ms": "generator late at most, ms",
    "sums_close": "both sums close",
    "worker_cores_at_10k_per_s": "cores for 10,000/s at this cost: workers",
    "broker_cores_at_10k_per_s": "the broker",
    "worker_cores_at_100m_a_day": "cores for 100 million a day at this cost: workers",
    "broker_cores_at_100m_a_day": "the broker",
}

_IDLE = {
    "idle_flows": "flows in the process",
    "idle_worker_percent": "worker, % of a core",
    "idle_broker_percent": "its broker, % of a core",
}


def section(results: Results, gallery: Gallery) -> list[str]:
    """Its paragraphs."""
    whole, stage = results.get("bench/pipeline"), results.get("bench/latency")
    alt = "Latency distributions"
    parts = [
        "## The whole pipeline",
        "Broker, DynamoDB Local, S3, sandbox, generator and workers share the machine. The load is open: an event's "
        "wait counts from when it was due, so a stall of the generator is charged too. The generator writes as Kafka's "
        "Java client does: what comes within 5 ms goes in one request.",
    ]
    if whole is None and stage is None:
        parts.append(gallery.leave_empty("latency", alt, f"{PIPELINE} && {LATENCY}"))
    else:
        parts.append(gallery.hang("latency", alt, lambda figure: distributions(figure, whole, stage)))
    parts += [_pipeline(whole, results.get("bench/pipeline-two")), _runs(results), _stage(stage)]
    return [*parts, "### OTPs beside a blast of marketing", _blast(results.get("bench/blast"))]


def distributions(figure: Figure, whole: Result | None, stage: Result | None) -> None:
    """Latency by share of events, the slow end drawn out."""
    axes = figure.subplots()
    if whole is not None:
        _line(axes, whole, ORANGE, f"due to provider call, whole pipeline at {whole['at_rate']:,}/s")
    for row, colour in zip(stage["rates"] if stage else [], (BLUE, GREEN, GREY), strict=False):
        _line(axes, row, colour, f"added by routing alone at {row['rate']:,}/s")
    axes.set_xscale("logit")
    axes.set_xticks(list(_SHARES.values()), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("share of events that were as fast or faster")
    axes.set_ylabel("ms")
    axes.legend(loc="upper left")
    told = "What routing adds to an event's way"
    if whole is not None:
        half, most = (f"{whole[name]:,.0f} ms" for name in ("p50_ms", "p99_ms"))
        told = f"From due to the provider's call: half within {half}, 99 % within {most}"
    headline(figure, told)


def _line(axes: Axes, row: Result, colour: str, label: str) -> None:
    points = row.get("distribution") or [(share, row[name]) for name, share in _SHARES.items() if name in row]
    axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=label)


def _pipeline(found: Result | None, two: Result | None) -> str:
    if found is None:
        return f"Not measured: `{PIPELINE}` has left nothing."
    rows = [(what, found.get(name), (two or {}).get(name)) for name, what in _FIGURES.items()]
    costs = sorted(found.get("cpu_us", {}).items(), key=lambda item: -item[1])
    told = table(("process", "CPU us/notification"), [*costs, ("all", sum(us for _, us in costs))])
    missing = "" if two else f"\n\nTwo workers a lane: not measured, `{TWO}` has left nothing."
    return f"{table(('whole pipeline', 'one worker a lane', 'two'), rows)}{missing}\n\n{told}"


def _runs(results: Results) -> str:
    """Every run of one worker a lane that is kept, where there are several."""
    found = [run for name, run in results.single.items() if name == "bench/pipeline" or name.startswith(AGAIN)]
    if len(found) < 2:
        return ""
    rows = [
        (
            f"{run['began']}, `{run['commit']}`",
            *(run.get(name) for name in ("sustained_per_s", "at_rate", "p50_ms", "p99_ms")),
            sum(us for name, us in run["cpu_us"].items() if name in OURS),
            sum(us for name, us in run["cpu_us"].items() if name not in OURS),
            run["cpu_us"].get("sandbox"),
        )
        for run in sorted(found, key=lambda run: str(run["began"]))
    ]
    titles = ("run", "sustained/s", "at, /s", "p50, ms", "p99, ms", "workers, us", "the rest, us", "sandbox, us")
    return (
        "How far runs differ, and how far the machine does: the sandbox is the same in all of them and takes its calls "
        "one by one, so its CPU for a notification tells how fast the machine was.\n\n" + table(titles, rows)
    )


def _blast(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{BLAST}` has left nothing."
    rows = [
        (stretch, *(found.get(f"otp_{share}_ms_{stretch}") for share in ("p50", "p99", "worst")))
        for stretch in ("before", "during", "after")
    ]
    return (
        f"{number(found['otp_per_s'])} OTPs a second, and for a third of the time {number(found['blast_per_s'])} "
        "marketing messages a second beside them; from due to call:\n\n"
        + table(("the blast", "p50, ms", "p99, ms", "longest, ms"), rows)
        + f"\n\nOTPs not called: {number(found['otps_not_called'])}. Both sums close: {number(found['sums_close'])}."
    )


def _stage(found: Result | None) -> str:
    if found is None:
        return f"Routing alone at a steady rate: not measured, `{LATENCY}` has left nothing."
    fields = ("rate", "p50_ms", "p99_ms", "p999_ms", "max_ms", "worker_us", "broker_us")
    rows = [("routing alone", *(row.get(field) for field in fields)) for row in found["rates"]]
    titles = ("", "events/s", "p50, ms", "p99, ms", "p99.9, ms", "longest, ms", "worker us/event", "broker us/event")
    idle = [(what, found.get(name)) for name, what in _IDLE.items()]
    return (
        table(titles, rows)
        + "\n\nAll flows of the high lane and record in one process, while nothing happens:\n\n"
        + table(("standing idle", "figure"), idle)
    )
