"""Fuzz what producers control, through every real stage, for so long.

    make fuzz                          # 60 s
    make fuzz SECONDS=1800 FROM=1000   # other seeds

Records, headers, keys, preferences and templates are drawn by Hypothesis and go through all flows in memory;
`checks.py` says what must hold. A finding is printed with the smallest case that shows it, and kept in .carillon/fuzz:
it is tried first the next time. The last line is a JSON summary; exit code 1 if anything was found.
"""

import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from deploy.local.results import option
from tests.fuzz.checks import findings, steps
from tests.fuzz.hostile import TEMPLATES, Written, known_users, records, templates
from tests.fuzz.pipeline import Clock, Pipeline

FOLDER = Path(__file__).parents[2] / ".carillon" / "fuzz"
CASES = 400
"""Cases drawn from one seed."""
Case = tuple[bool, list[Written], list[bytes], int]
"""Whether users are known beforehand, what producers write, the templates, and what outcomes are drawn by."""

cases: st.SearchStrategy[Case] = st.tuples(
    st.booleans(),
    st.lists(records(), min_size=1, max_size=8),
    st.lists(templates(), min_size=len(TEMPLATES), max_size=len(TEMPLATES)),
    st.integers(0, 2**16),
)


def play(case: Case, seen: Counter[str] | None = None) -> list[str]:
    """What is wrong with one case."""
    known, drawn, bodies, draw = case
    written = [*(known_users() if known else ()), *drawn]
    clock = Clock()
    with patch("time.time_ns", clock.time_ns):
        random.seed(draw)
        pipeline = Pipeline(dict(zip(TEMPLATES, bodies, strict=True)), clock, draw)
        for record in written:
            pipeline.write(record)
        for lying in list(pipeline.log.values()):
            for record in lying:
                pipeline.buries(record)
        ended = pipeline.run()
    if seen is not None:
        seen["cases"] += 1
        seen["records"] += len(written)
        seen.update({f"on {topic}": len(lying) for topic, lying in pipeline.log.items()})
        seen.update(step.value for step in steps(pipeline))
    return findings(pipeline, ended=ended)


def search(first: int, seen: Counter[str], most: int = CASES) -> str:
    """Draw cases from one seed; the report of the smallest that fails, or nothing."""

    @seed(first)
    @settings(
        max_examples=most,
        deadline=None,
        database=DirectoryBasedExampleDatabase(FOLDER),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(case=cases)
    def holds(case: Case) -> None:
        wrong = play(case, seen)
        assert not wrong, "\n".join([*wrong[:5], f"case: {case!r:.4000}"])

    try:
        holds()
    except AssertionError as error:
        return str(error)
    except BaseExceptionGroup as several:
        return "\n---\n".join(str(error) for error in several.exceptions)
    return ""


def main() -> int:
    """Search until the time is over; returns the exit code."""
    logging.disable(logging.CRITICAL)
    began, seconds, number = time.monotonic(), option("SECONDS", 60), option("FROM", 0)
    seen: Counter[str] = Counter()
    found = 0
    while time.monotonic() - began < seconds:
        report = search(number, seen)
        if report:
            found += 1
            sys.stdout.write(f"seed {number}: {report}\n")
        number += 1
        sys.stderr.write(f"\r{time.monotonic() - began:6.0f} s  {seen['cases']} cases, {found} findings")
    sys.stderr.write("\n")
    sys.stdout.write(json.dumps({"seconds": round(time.monotonic() - began), "findings": found, **seen}) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
