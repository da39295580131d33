"""The page's part on the audit itself: what it looks like when it turns red."""

from tests.report.markdown import table
from tests.report.results import Result, Results

SELFTEST, STOCK = "make chaos-selftest", "make chaos-stock"


def section(results: Results) -> list[str]:
    """Its paragraphs."""
    return [
        "## The audit turns red",
        "An audit that was never seen red proves nothing. Faults are planted in the engine, one at a time, and each "
        "must turn the checks red that are there for it, and no other.",
        _selftest(results.get("chaos/selftest")),
        "Stock Faust, the same topology as its manual teaches it, under the same load, killed with -9 now and then, "
        "through the same audit:",
        _stock(results.get("chaos/stock")),
    ]


def _selftest(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{SELFTEST}` has left nothing."
    missed: list[str] = found["faults"]
    rows = [
        (plant.replace("_", " "), ", ".join(checks) or "none: green", "**no**" if plant in missed else "yes")
        for plant, checks in found["red"].items()
    ]
    return table(("planted", "checks that turned red", "as it must be"), rows, words=3)


def _stock(found: Result | None) -> str:
    if found is None:
        return f"Not measured: `{STOCK}` has left nothing."
    rows = [(name.replace("_", " "), value) for name, value in found.items() if type(value) in (int, bool)]
    return table(("stock Faust", "figure"), rows) + f"\n\nChecks that turned red: {', '.join(found['red']) or 'none'}."
