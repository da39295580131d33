"""The page's part on faults: what was lost and repeated, how soon it was well again."""

from collections.abc import Sequence

from tests.report import alone_section, fault_pictures, seeds
from tests.report.gallery import Gallery
from tests.report.markdown import spread, table
from tests.report.results import Result, Results

CHAOS, BROKERS = "make chaos", "make chaos-brokers"
CURVES = ("kill", "rolling_restart", "broker_kill")
"""Faults whose recovery DESIGN.md puts a figure on."""


def section(results: Results, gallery: Gallery) -> list[str]:
    """Its paragraphs."""
    found = [seed for seed in results.seeds if "accepted" in seed]
    parts = ["## Loss and repeats under faults", _totals(results.seeds, found), _kept(results.seeds)]
    parts += [_with_routing(found, alone_section.routed(results.get("chaos/route"))), _over_time(found, gallery)]
    parts += [_checks(found), _by_cause(found, gallery), *alone_section.section(results)]
    parts += ["## Recovery", _recovery(found, gallery), _by_fault(found)]
    return [*parts, "## Three brokers", _brokers(results.get("chaos/brokers"))]


def _totals(all_: Sequence[Result], found: Sequence[Result]) -> str:
    if not found:
        return f"Not measured: `{CHAOS}` has left nothing."
    accepted, lost = seeds.total(found, "accepted") or 0, seeds.total(found, "lost")
    bound = f"; with none lost, the share that is lost is below {3 / accepted:.1e} (95 %)" if lost == 0 else ""
    every, red = seeds.strikes(found), seeds.red(all_)
    rows = [
        ("seeds", len(all_)),
        ("accepted", accepted),
        ("acknowledgement never came, may be there or not", seeds.total(found, "accepted_perhaps")),
        ("provider calls", seeds.total(found, "calls")),
        ("strikes", len(every)),
        ("of them pairs of faults", sum(len(strike["faults"]) > 1 for strike in every)),
        ("faults struck", seeds.struck(found).total()),
        ("different faults", len(seeds.struck(found))),
        ("**lost**", lost),
        ("repeated calls", seeds.repeats(found).total() if any("repeats" in seed for seed in found) else None),
        ("most repeats after one fault", _worst(found)),
        ("seconds until drained", spread([seed.get("drained_s") for seed in found])),
        ("seeds whose audit found something", len(red)),
    ]
    told = "".join(f"\n* Seed {number} is **red**: {', '.join(names)}" for number, names in red.items())
    return f"Every seed begins on empty servers{bound}.\n\n" + table(("all seeds", "together"), rows) + "\n" + told


def _worst(found: Sequence[Result]) -> int | None:
    return max((s["repeats_per_hurt_at_most"] for s in found if "repeats_per_hurt_at_most" in s), default=None)


def _kept(all_: Sequence[Result]) -> str:
    if not all_:
        return ""
    dirty = seeds.uncommitted(all_)
    told = f" Run on an uncommitted tree: {seeds.ranges(dirty)}." if dirty else ""
    return f"Seeds kept: {seeds.ranges(seed['seed'] for seed in all_)}.{told}"


def _with_routing(found: Sequence[Result], routed: alone_section.Routed | None) -> str:
    accepted, lost = seeds.total(found, "accepted"), seeds.total(found, "lost")
    if accepted is None or lost is None or routed is None:
        return ""
    struck = seeds.struck(found).total()
    return (
        f"Together with routing alone, below: {accepted:,} accepted in the pipeline + {routed.inputs:,} inputs routed "
        f"= {accepted + routed.inputs:,}, under {struck:,} faults struck + {routed.strikes:,} strikes on routing "
        f"= {struck + routed.strikes:,}; lost: {lost:,} in the pipeline + {routed.lost:,} in routing (undecided, held "
        f"for ever or not written) = {lost + routed.lost:,}."
    )


def _over_time(found: Sequence[Result], gallery: Gallery) -> str:
    alt, seed = "Rate and wait over time under faults", seeds.most_telling(found)
    if seed is None:
        return gallery.leave_empty("faults", alt, CHAOS)
    picture = gallery.hang("faults", alt, lambda figure: fault_pictures.over_time(figure, seed), size=(8.0, 4.8))
    return f"{picture}\n\nSeed {seed['seed']}, bands from strike to heal: {fault_pictures.strikes_of(seed)}."


def _checks(found: Sequence[Result]) -> str:
    rows = ((name, what, seeds.total(found, name)) for name, what in seeds.CHECKS.items())
    return "What the audit looks for in the four ledgers, and how much of it there was:\n\n" + table(
        ("check", "what it is", "found"), rows, words=2
    )


def _by_cause(found: Sequence[Result], gallery: Gallery) -> str:
    alt, repeats, calls = "Repeated calls by cause", seeds.repeats(found), seeds.total(found, "calls")
    if not repeats:
        return gallery.leave_empty("repeats", alt, CHAOS)
    return gallery.hang("repeats", alt, lambda figure: fault_pictures.by_cause(figure, repeats, calls), size=(8.0, 2.4))


def _recovery(found: Sequence[Result], gallery: Gallery) -> str:
    alt = "The wait for a call around a fault"
    curves = {name: shown for name in CURVES if (shown := seeds.curves(found, name))}
    if not curves:
        return gallery.leave_empty("recovery", alt, CHAOS)
    missing = [name for name in CURVES if name not in curves]
    left_out = f"\n\nNot struck alone yet, so without a curve: {', '.join(missing)}." if missing else ""
    return gallery.hang("recovery", alt, lambda figure: fault_pictures.recovery(figure, curves)) + left_out


def _by_fault(found: Sequence[Result]) -> str:
    if not found:
        return ""
    rows = []
    for name, count in sorted(seeds.struck(found).items()):
        single = seeds.alone(found, name)
        bounds = {strike["recovers_s"] for strike in single if strike["recovers_s"] is not None}
        after, promised = _of(single, "recovered_s"), _bound(bounds, _too_late(single))
        rows.append((name.replace("_", " "), count, len(single), after, *promised, _of(single, "late_s")))
    pairs = [strike for strike in seeds.strikes(found) if len(strike["faults"]) > 1]
    after, late = _of(pairs, "recovered_s"), _of(pairs, "late_s")
    rows.append(("any pair", len(pairs), 0, after, "each its own", _too_late(pairs), late))
    titles = ("fault", "struck", "alone", "recovered after, s", "promised, s", "later than that", "late, s")
    return (
        "Recovered after: seconds from a fault's end until p99 from due to call, of the high lane, is below "
        f"{seeds.PROMPT_MS} ms again, and 0 where it was by then, as with faults that end with a wait. Late: the "
        "seconds, of all since it struck and before the next strike, in which what was due was called later than "
        f"{seeds.PROMPT_MS} ms. Both of strikes alone, median and range:\n\n" + table(titles, rows)
    )


def _of(strikes: Sequence[Result], field: str) -> str:
    return spread([strike.get(field) for strike in strikes])


def _too_late(strikes: Sequence[Result]) -> int:
    return sum(s["recovers_s"] is not None and s["recovered_s"] > s["recovers_s"] for s in strikes)


def _brokers(found: Result | None) -> str:
    if found is None or "away" not in found:
        return f"Not measured: `{BROKERS}` has left nothing."
    rows = [
        (f"{len(away['nodes'])} of 3", away["healed_s"] - away["struck_s"], away["recovered_s"])
        for away in found["away"]
    ]
    figures = [(name.replace("_", " "), found.get(name)) for name in _BROKERS]
    return (
        "Three replicas, at least two in sync, and the leader among those killed:\n\n"
        + table(("brokers killed", "away, s", "recovered after, s"), rows)
        + "\n\n"
        + table(("three brokers", "figure"), figures)
        + f"\n\nChecks that turned red: {', '.join(found['faults']) or 'none'}."
    )


_BROKERS = ("accepted", "lost", "acknowledged_without_a_majority", "repeats_unexplained", "drained_s")


def _bound(bounds: set[float], late: int) -> tuple[object, object]:
    return (", ".join(f"{bound:g}" for bound in sorted(bounds)), late) if bounds else ("nothing", "")
