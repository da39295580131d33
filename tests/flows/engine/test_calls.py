"""What becomes of calls outside when their worker is stopped or killed."""

import time

from flows.engine.flow import WAITS
from schemas.vocabulary import Lane
from tests.flows.engine.conftest import Toy, eventually


def test_calls_under_way_are_cut_off_when_the_drain_is_over_and_their_results_are_durable(toy: Toy) -> None:
    ids = toy.ask({"do": "call", "s": 60}, {"do": "call", "s": 0.2}, {"do": "call", "s": 60}, partition=0)
    worker = toy.start()
    eventually(lambda: len([line for line in toy.calls() if line["what"] == "begun"]) == 3)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 6
    assert toy.called() == {ids[0]: "cut", ids[1]: "ended", ids[2]: "cut"}
    assert toy.committed()[0] == 3


def test_calls_that_are_not_begun_any_more_and_leave_no_result_do_not_hold_the_end_up(toy: Toy) -> None:
    worker = toy.start()
    toy.ask(*[{"do": "call", "s": 0.05, "forget": True}] * 4_000)
    eventually(lambda: len(toy.calls()) > 200)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < WAITS[Lane.HIGH].drain_s


def test_a_kill_leaves_no_more_calls_unknown_than_the_window(toy: Toy) -> None:
    toy.ask(*[{"do": "call", "s": 0.05}] * 400, partition=0)
    worker = toy.start(TOY_WINDOW="16")
    eventually(lambda: len(toy.calls()) > 100)
    worker.kill()
    begun = {line["id"] for line in toy.calls()}
    assert len(begun - set(toy.called())) <= 16
