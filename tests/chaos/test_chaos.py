"""The chaos runs in short: each script as `make` runs it, small, its figures shown and held to their bounds."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sent import IN_FLIGHT

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
Running = dict[str, Future[dict[str, Any]]]


def run(script: str, **options: str) -> dict[str, Any]:
    """Run a script to its end and return the summary it ends with; fails, with all it said, on a non-zero exit.

    Short as it is, it leaves no result for the report.
    """
    with tempfile.TemporaryDirectory() as results:
        done = subprocess.run(
            [sys.executable, str(HERE / script)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "RESULTS": results, **options},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{script} {options} failed:\n{done.stdout}\n{done.stderr}"
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.timeout(180)
def test_the_audit_sees_every_planted_fault_and_nothing_where_there_is_none() -> None:
    found = run("selftest.py", SECONDS="4", TOGETHER="1")
    assert len(found["red"]) == 3


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seed", "faults"),
    [("1", "kill,kill_mid_call,wipe"), ("12", "broker_kill,store_refuses,provider_outage,kill"), ("3", "")],
    ids=["workers", "servers", "any"],
)
def test_the_pipeline_loses_nothing_and_repeats_nothing_unasked_whatever_strikes_it(seed: str, faults: str) -> None:
    """How soon it recovers has no bound here: the machine runs the other tests too. `make chaos` measures it."""
    found = run("chaos.py", SEED=seed, FAULTS=faults, DURATION="22")
    assert found["struck"]
    assert found["accepted"] > 2_000
    assert found["lost"] == found["repeats_unexplained"] == found["repeats_by_the_producer"] == 0
    assert found["leaked"] == 0
    assert min(found["log_lines"], found["metric_lines"], found["kept_secret"]) > 0


@pytest.fixture(scope="module")
def under_way() -> Iterator[Running]:
    """Scripts side by side, which mostly wait. route.py takes two rounds on one stack: workers ended in order, then
    killed too; the second round tells of both."""
    with ThreadPoolExecutor() as pool:
        yield {
            "route": pool.submit(run, "route.py", SEED="2", EVENTS="4000", FAULTS="3", KINDS="term/kill,term,wipe"),
            "deliver": pool.submit(run, "deliver.py", SEED="1", SECONDS="12", KILLS="3", RATE="400"),
            "scale": pool.submit(run, "scale.py", SEED="1", EVENTS="6000", STEP="2"),
        }


@pytest.mark.timeout(240)
def test_routing_workers_that_end_in_order_write_nothing_twice(under_way: Running) -> None:
    first, _ = under_way["route"].result()["seeds"]
    assert first["struck"] == {"term": 3}
    assert first["inputs"] == 4_000
    assert first["re_emitted"] == first["decided_again"] == 0


@pytest.mark.timeout(240)
def test_routing_workers_that_are_killed_lose_nothing_and_let_no_repeat_through(under_way: Running) -> None:
    """What a kill has written again is the same, record by record."""
    _, second = under_way["route"].result()["seeds"]
    assert second["struck"] == {"kill": 1, "term": 1, "wipe": 1}
    assert second["inputs"] == 8_000
    assert second["accepted_but_not_in_the_log"] == second["undecided"] == second["routed_but_not_written"] == 0
    assert second["decided_otherwise"] == second["decided_twice"] == second["decided_unasked"] == 0
    assert second["written_unasked"] == second["held_for_ever"] == 0


@pytest.mark.timeout(240)
def test_a_killed_delivery_worker_repeats_at_most_the_calls_in_flight_and_tells_that_it_may_have(
    under_way: Running,
) -> None:
    """Every call is answered, so that an outcome is unknown only where a kill came amid calls."""
    found = under_way["deliver"].result()
    assert found["hurts"] == 3
    assert found["unknown"] > 0
    assert found["lost"] == found["repeats_unflagged"] == found["repeats_unexplained"] == 0
    assert found["repeats_forbidden"] == found["repeats_too_many"] == 0
    assert found["repeats_per_hurt_at_most"] <= IN_FLIGHT


@pytest.mark.timeout(240)
def test_growing_to_four_routing_workers_and_back_loses_and_doubles_nothing(under_way: Running) -> None:
    found = under_way["scale"].result()
    assert [step["workers"] for step in found["steps"]] == [1, 2, 4, 2, 1]
    assert found["re_emitted"] == found["decided_again"] == 0


@pytest.mark.timeout(240)
def test_an_opt_out_overtakes_a_marketing_backlog_that_no_otp_waits_behind() -> None:
    """Its latency has no bound here: the machine runs the other tests too. `make chaos-lanes` measures it."""
    found = run("lanes.py", BACKLOG="20000", SECONDS="8", QUIET="4", WATCHED="3", P99_MS="60000", PEOPLE="3000")
    assert found["last_call_after_opt_out_s"]["worst"] <= 2.0
    assert found["otp_busy_ms"]["count"] == 400
