"""A worker that stalls ends; one that rests or waits does not. The toys' patience is two seconds here."""

import json
import time
import urllib.error

from flows.clock import now_ms
from tests.flows.engine.conftest import Toy, Worker, eventually

PATIENCE = {"TOY_PATIENCE": "2"}


def reason(worker: Worker) -> str:
    return str(worker.events("fail_stop")[0]["why"])


def test_a_stuck_loop_ends_the_process(toy: Toy) -> None:
    worker = toy.start(**PATIENCE)
    toy.ask({"do": "hold", "s": 30})
    assert worker.wait() == 70
    assert reason(worker) == "the event loop is stuck"


def test_lag_without_progress_and_without_a_declared_wait_ends_the_process(toy: Toy) -> None:
    worker = toy.start(**PATIENCE, TOY_FAULT="never be done")
    toy.ask({})
    assert worker.wait() == 70
    assert reason(worker) == f"no progress in {toy.name}"


def test_a_partition_that_was_handed_back_is_no_stall(toy: Toy) -> None:
    worker = toy.start(**PATIENCE)
    toy.await_ids(toy.ask({"until_ms": now_ms() + 4_000}))
    assert worker.child.alive()


def test_a_call_that_takes_long_is_no_stall(toy: Toy) -> None:
    worker = toy.start(**PATIENCE)
    ids = toy.ask({"do": "call", "s": 4})
    eventually(lambda: toy.called() == {ids[0]: "ended"})
    toy.await_commits()
    assert worker.child.alive()


def test_work_that_comes_after_a_rest_longer_than_the_patience_is_no_stall(toy: Toy) -> None:
    worker = toy.start(**PATIENCE)
    toy.await_ids(toy.ask({}))
    time.sleep(3)
    # The record lags for longer than the watchdog's look, and progress lies further back than its patience.
    toy.await_ids(toy.ask({"do": "hold", "s": 1.5}))
    assert worker.child.alive()


def test_a_worker_is_live_and_ready_at_work_and_only_live_while_a_flow_has_no_partitions(toy: Toy) -> None:
    worker = toy.start()
    assert json.loads(worker.page("/ready")) == {"ok": True, "wrong": {}}
    toy.spawn("w2")
    # While the group takes the new member in, the flow owns nothing.
    toy.ask({"do": "call", "s": 60})
    eventually(lambda: "not ready" in unready(worker), 15)
    assert json.loads(worker.page("/live")) == {"ok": True, "wrong": {}}


def unready(worker: Worker) -> str:
    try:
        return worker.page("/ready")
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())


def test_an_error_while_partitions_are_revoked_ends_the_process(toy: Toy) -> None:
    # Joining the group revokes what was held before, which is nothing yet.
    worker = toy.spawn(TOY_FAULT="raise when partitions are revoked")
    assert worker.wait() == 70
    assert reason(worker) == "partitions could not be let go"
    assert "a secret" not in worker.child.log.read_text()
