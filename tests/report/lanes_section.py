"""The page's part on the lanes: whether OTPs wait behind an import of people, they and opt-outs behind marketing."""

from tests.report.markdown import number, table
from tests.report.results import Result, Results

LANES = "make chaos-lanes"
_WAITING = {"route.low": "to be routed", "deliver.sms.low": "to be delivered by SMS"}


def section(results: Results) -> list[str]:
    """Its paragraphs."""
    head, found = "### OTPs and opt-outs beside a backlog of marketing", results.get("chaos/lanes")
    if found is None:
        return [head, f"Not measured: `{LANES}` has left nothing."]
    return [
        head,
        f"{number(found['people'])} new users are imported within five seconds. Then a backlog of "
        f"{number(found['backlog'])} marketing messages drains through the workers of the low lane. OTPs come at a "
        "steady rate before and meanwhile; from due to call:",
        _otps(found),
        "Meanwhile users opt out of everything, one after another, who were called a moment ago and have more waiting; "
        "the last call to each counts from the acknowledgement of the opt-out:",
        _opt_outs(found),
        _waiting(found),
        f"Checks that turned red: {', '.join(found['faults']) or 'none'}.",
    ]


def _otps(found: Result) -> str:
    told = {
        "quiet": "quiet",
        "imported": f"while {number(found['people'])} users are imported",
        "busy": f"while a backlog of {number(found['backlog'])} drains",
    }
    waits = {name: [found[f"otp_{name}_ms"][field] for field in ("p50", "p99", "worst", "count")] for name in told}
    rows = [(what, *waits[name], found[f"otp_{name}_lost"]) for name, what in told.items()]
    return table(("OTPs", "p50, ms", "p99, ms", "longest, ms", "count", "never called"), rows)


def _opt_outs(found: Result) -> str:
    lasts = found["last_call_after_opt_out_s"]
    rows = [("users watched", len(lasts["each"])), ("last call after an opt-out, at worst, s", lasts["worst"])]
    return table(("opt-outs", "figure"), rows)


def _waiting(found: Result) -> str:
    """What does not wait any more is not in the result."""
    rows = [
        (what, *(found[when].get(flow, 0) for when in ("waiting_at_first_opt_out", "waiting_at_the_end")))
        for flow, what in _WAITING.items()
    ]
    return table(("waiting in the low lane", "at the first opt-out", "at the end"), rows)
