import pytest

from agents.stage import Outbox
from flows.engine.flow import WAITS, Flow, chain
from schemas.vocabulary import Lane


def test_the_agents_of_a_chain_run_in_order_each_on_what_the_one_before_passed_on() -> None:
    seen: list[list[int]] = []

    def halve(items: list[int], tables: object, outbox: Outbox) -> list[int]:
        seen.append(list(items))
        return items[: len(items) // 2]

    chain(halve, halve)([1, 2, 3, 4], {}, Outbox())  # type: ignore[list-item]
    assert seen == [[1, 2, 3, 4], [1, 2]]


def test_a_chain_ends_where_nothing_is_passed_on() -> None:
    def nothing(items: object, tables: object, outbox: Outbox) -> list[int]:
        return []

    def never(items: object, tables: object, outbox: Outbox) -> list[int]:
        pytest.fail("there is nothing to do")

    chain(nothing, never)([], {}, Outbox())


def test_the_group_of_a_flow_carries_its_name() -> None:
    assert Flow("route.high", Lane.HIGH, {}, lambda record, detail, tables, outbox: None).group == "carillon-route.high"


def test_the_high_lane_waits_and_drains_for_a_shorter_time_than_the_low_one() -> None:
    high, low = WAITS[Lane.HIGH], WAITS[Lane.LOW]
    assert (high.drain_s, low.drain_s) == (2.0, 5.0)
    assert high.fetch_max_wait_ms < low.fetch_max_wait_ms
    assert high.linger_ms < low.linger_ms
