"""Each hole that a first engine had under `kill -9` and rebalance, pinned on a real broker."""

import json
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from flows.clock import now_ms
from flows.engine.engine import QUEUED_LIMIT
from tests.flows.engine.conftest import Toy, eventually


def fresh(toy: Toy) -> list[int]:
    return [line["id"] for line in toy.told() if line["fresh"]]


def test_a_partition_without_a_committed_offset_is_read_from_its_earliest_after_an_early_rebalance(
    toy: Toy, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    held = toy.ask({"do": "call", "gate": str(gate)}, partition=0)
    first = toy.start("w1", TOY_WINDOW="1")
    eventually(toy.calls, what="the call that blocks the agent")
    # Read and handed over while the agent is blocked: never run, so nothing of partition 1 can be committed.
    unrun = toy.ask(*[{}] * 300, partition=1)
    eventually(lambda: first.metric("engine_fetches_total") >= 2)
    assert toy.committed()[1] == -1
    toy.spawn("w2", TOY_WINDOW="1")
    first.ready(2)
    gate.touch()
    toy.await_ids(held + unrun)
    assert [line["id"] for line in toy.told() if line["id"] in unrun] == unrun


def test_records_handed_over_after_a_seek_are_put_back_and_run_once_in_order(toy: Toy) -> None:
    # A batch in the middle is handed back while those behind it are already fetched and queued.
    worker = toy.start()
    until = now_ms() + 2_000
    ids = toy.ask(*[{}] * 300, {"until_ms": until}, *[{}] * 1700, partition=0)
    toy.await_ids(ids)
    assert toy.ids() == ids
    assert min(line["at_ms"] for line in toy.told()[300:]) >= until
    toy.await_commits()
    assert worker.stop() == 0


def test_a_burst_larger_than_the_channel_of_a_partition_is_run_whole(toy: Toy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ids = toy.ask({"do": "call", "gate": str(gate)}, *[{}] * (4 * QUEUED_LIMIT), partition=0)
    worker = toy.start(TOY_WINDOW="1")
    eventually(toy.calls)
    eventually(lambda: worker.metric("engine_fetches_total") >= 4)
    gate.touch()
    toy.await_ids(ids)
    assert toy.ids() == ids
    toy.await_commits()


def test_a_full_channel_pauses_its_own_partition_only(toy: Toy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ids = toy.ask({"do": "call", "gate": str(gate)}, *[{}] * (4 * QUEUED_LIMIT), partition=0)
    worker = toy.start(TOY_WINDOW="1")
    eventually(toy.calls)
    eventually(lambda: worker.metric("engine_fetches_total") >= QUEUED_LIMIT // 256)
    stood = settled(lambda: worker.metric("engine_fetches_total"))
    toy.write(toy.topics.side, b"k", b"fetched while the other waits")
    toy.flush()
    eventually(lambda: worker.metric("engine_fetches_total") > stood)
    assert worker.metric("engine_records_total") <= 1
    gate.touch()
    toy.await_ids(ids)
    eventually(toy.sides)


def settled(measure: Callable[[], float]) -> float:
    """A measure that grows, once it has stood for a second."""
    seen, since = measure(), time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.1)
        if (found := measure()) != seen:
            seen, since = found, time.monotonic()
    return seen


def test_a_batch_held_while_its_partition_is_revoked_has_no_side_effect(toy: Toy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    toy.ask({"do": "call", "gate": str(gate)}, partition=0)
    toy.ask({"do": "call", "gate": str(gate)}, partition=1)
    first = toy.start("w1", TOY_WINDOW="1")
    eventually(toy.calls)
    ids = toy.ask(*[{}] * 200, partition=0) + toy.ask(*[{}] * 200, partition=1)
    eventually(lambda: first.metric("engine_fetches_total") >= 3)
    toy.spawn("w2", TOY_WINDOW="1").ready()
    first.ready(2)
    gate.touch()
    toy.await_ids(ids)
    toy.await_commits()
    assert {worker for worker in (line["worker"] for line in toy.told())} == {"w1", "w2"}
    assert {id_: times for id_, times in Counter(toy.ids()).items() if times > 1} == {}


def test_a_batch_that_was_skipped_does_not_stop_commits_for_good(toy: Toy) -> None:
    ids = toy.ask(*[{}] * 600, {"until_ms": now_ms() + 2_500}, *[{}] * 600, partition=1)
    toy.start()
    toy.await_ids(ids)
    toy.await_commits()


def test_a_refused_commit_is_tried_again(toy: Toy) -> None:
    ids = toy.ask(*[{}] * 20)
    toy.start(TOY_FAULT="refuse the first commits")
    toy.await_ids(ids)
    toy.await_commits()


def test_nothing_is_run_before_the_source_backed_tables_are_read_to_their_end(toy: Toy) -> None:
    for number in range(40_000):
        toy.write(toy.topics.side, f"k{number}".encode(), b"known")
    toy.flush()
    ids = toy.ask(*[{}] * 500)
    toy.start()
    toy.await_ids(ids)
    assert {line["side"] for line in toy.told()} == {"known"}


def test_a_crash_between_the_changelog_and_the_forward_loses_nothing(toy: Toy) -> None:
    ids = toy.ask(*[{}] * 5, partition=0)
    assert toy.spawn(TOY_FAULT="die between changelog and forward").wait() == -9
    assert toy.ids() == []
    assert len(toy.tallies()) == 5
    toy.start()
    toy.await_ids(ids)
    assert [line["fresh"] for line in toy.told()] == [False] * 5
    assert set(toy.tallies().values()) == {1}


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip", "snappy", "none"])
def test_a_topic_is_readable_in_every_compression(toy: Toy, codec: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": toy.brokers, "compression.type": codec, "linger.ms": 50})
    for number in range(50):
        producer.produce(toy.topics.asked.name, json.dumps({"id": number, "pad": "x" * 200}).encode(), b"k")
    assert producer.flush(10) == 0
    toy.start()
    toy.await_ids(range(50))


def test_counts_of_one_key_follow_each_other_without_a_hole(toy: Toy) -> None:
    toy.ask(*[{}] * 500, key="one")
    toy.start()
    eventually(lambda: len(toy.told()) == 500)
    counts = [line["count"] for line in toy.told()]
    assert all(later == earlier + 1 for earlier, later in pairwise(counts))
