"""What a worker does when it is killed, stopped, fed what it cannot take, or loses its broker or its state."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType

from deploy.local.children import Nursery
from deploy.local.stack import Stack
from flows.clock import now_ms
from flows.engine.culprits import MOST
from flows.engine.stop import EXIT_FAULTY, EXIT_MISCONFIGURED
from tests.conftest import LIB
from tests.flows.engine.conftest import Toy, eventually

SLOW: dict[str, Any] = {"do": "hold", "s": 0.0005}


def amid(toy: Toy, done: int = 0) -> None:
    """Wait until the worker is amid its work, some 100 records after the `done` of before."""
    eventually(lambda: len(toy.told()) > done + 100)


def test_a_worker_that_is_killed_loses_nothing_and_counts_nothing_twice(toy: Toy) -> None:
    worker = toy.start()
    wanted: Counter[str] = Counter()
    for _ in range(3):
        done = len(toy.told())
        wanted += toy.stream(2_000, **SLOW)
        toy.flush()
        amid(toy, done)
        worker.kill()
        worker = toy.spawn()
    eventually(lambda: toy.tallies() == wanted)
    assert set(toy.ids()) == set(range(6_000))


def test_a_worker_that_is_killed_and_loses_its_state_counts_nothing_twice(toy: Toy) -> None:
    worker = toy.start()
    wanted = toy.stream(3_000, **SLOW)
    toy.flush()
    amid(toy)
    worker.kill()
    shutil.rmtree(worker.state)
    wanted += toy.stream(1_000)
    toy.flush()
    toy.start()
    eventually(lambda: toy.tallies() == wanted)


def test_sigterm_ends_in_order_and_nothing_is_told_again(toy: Toy) -> None:
    worker = toy.start()
    toy.stream(3_000, **SLOW)
    toy.flush()
    amid(toy)
    assert worker.stop() == 0
    before = toy.told()
    assert sum(max(0, offset) for offset in toy.committed()) == len(before)
    toy.start()
    eventually(lambda: len(toy.told()) == 3_000)
    assert all(line["fresh"] for line in toy.told())


def test_a_worker_that_stops_hands_its_partitions_over_without_a_repeat(toy: Toy) -> None:
    # Dynamic members: the one that goes leaves the group, the other takes over at once.
    first, second = toy.spawn("w1", TOY_LANE="low"), toy.spawn("w2", TOY_LANE="low")
    first.ready()
    second.ready()
    wanted = toy.stream(3_000, **SLOW)
    toy.flush()
    amid(toy)
    assert first.stop() == 0
    eventually(lambda: toy.tallies() == wanted)
    assert [line for line in toy.told() if not line["fresh"]] == []


def test_restored_tables_equal_those_that_were_lost(toy: Toy) -> None:
    wanted = toy.stream(3_000)
    toy.write(toy.topics.side, b"user1", b"from the side")
    toy.flush()
    worker = toy.start()
    eventually(lambda: toy.tallies() == wanted)
    assert worker.stop() == 0
    shutil.rmtree(worker.state)
    toy.start()
    again = toy.ask({}, key="user1")
    toy.await_ids(again)
    [last] = [line for line in toy.told() if line["id"] in again]
    assert (last["count"], last["side"]) == (wanted["user1"] + 1, "from the side")


def test_exactly_the_record_on_which_a_stage_raises_is_buried(toy: Toy) -> None:
    worker = toy.start()
    ids = toy.ask(*[{}] * 40, {"do": "raise"}, *[{}] * 40, {"do": "raise"}, {}, partition=0)
    culprits = [ids[40], ids[81]]
    toy.await_ids(set(ids) - set(culprits))
    toy.await_commits()
    assert sorted(toy.ids()) == sorted(set(ids) - set(culprits))
    dead = {int(message.key()): message.value() for message in toy.records(toy.topics.dead)}
    assert dead == {40: b"ValueError", 81: b"ValueError"}
    assert worker.metric("engine_culprits_total") == 2
    assert "a secret that no log may show" not in worker.child.log.read_text()


def test_a_partition_that_waits_does_not_hold_the_others_up(toy: Toy) -> None:
    worker = toy.start()
    until = now_ms() + 3_000
    waiting = toy.ask({"until_ms": until}, {}, partition=0)
    going = toy.ask(*[{}] * 50, partition=1)
    toy.await_ids(going)
    assert max(line["at_ms"] for line in toy.told() if line["id"] in going) < until
    toy.await_ids(waiting)
    times = [line["at_ms"] - until for line in toy.told() if line["id"] in waiting]
    assert min(times) >= 0
    assert max(times) < 1_500
    assert {line["waits"] for line in toy.told() if line["id"] == waiting[0]} == {1}
    assert '"ok": true' in worker.page("/ready")


def test_a_partition_that_waits_by_a_clock_that_was_wrong_is_looked_at_again_soon(toy: Toy) -> None:
    toy.start()
    toy.await_ids(toy.ask({"until_ms": now_ms() + 3_600_000, "mistaken": True}, {}, partition=0))


def test_a_record_that_cannot_be_written_ends_the_process_and_nothing_behind_it_is_committed(toy: Toy) -> None:
    limit = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, toy.topics.out.name, incremental_configs=[limit])
    toy.admin.incremental_alter_configs([resource])[resource].result(10)
    worker = toy.start()
    first = toy.ask({}, partition=0)
    toy.await_ids(first)
    toy.await_commits()
    toy.ask({"do": "big", "bytes": 50_000}, *[{}] * 20, partition=0)
    assert worker.wait() == 70
    assert toy.committed()[0] == 1
    assert worker.events("fail_stop")[0]["why"].startswith("a record for")


def test_a_stage_that_raises_on_thousands_of_records_stops_and_buries_no_more_of_them(toy: Toy) -> None:
    toy.ask(*[{"do": "raise"}] * 2_500, partition=0)
    worker = toy.spawn()
    assert worker.wait() == EXIT_FAULTY
    assert "so the fault is its own: mend it" in worker.events("fail_stop")[0]["why"]
    assert len(list(toy.records(toy.topics.dead))) <= MOST


def test_two_flows_of_one_process_keep_to_themselves(toys: Callable[..., Toy]) -> None:
    toy = toys(more=1)
    other = Toy(toy.brokers, toy.journal.parent, toy._nursery, name=toy.toys[1])
    mine, theirs = toy.ask(*[{}] * 30), other.ask(*[{}] * 40)
    worker = toy.start()
    toy.await_ids(mine)
    other.await_ids(theirs)
    assert (len(toy.ids()), len(other.ids())) == (30, 40)
    toy.await_commits()
    other.await_commits()
    assert worker.stop() == 0
    other.close()


def test_a_static_member_that_is_killed_is_back_under_its_id_and_the_other_feels_nothing(toy: Toy) -> None:
    first, second = toy.spawn("w1"), toy.spawn("w2")
    first.ready()
    second.ready()
    eventually(lambda: last(first)["partitions"] == last(second)["partitions"] == 2)
    taken = len(first.events("flow_ready"))
    held = last(second)["partitions"]
    second.kill()
    began = time.monotonic()
    again = toy.start("w2")
    stood = time.monotonic() - began
    toy.await_ids(toy.ask(*[{}] * 50))
    assert last(again)["partitions"] == held
    assert len(first.events("flow_ready")) == taken
    assert stood < 4.0


def last(worker: object) -> dict[str, int]:
    return worker.events("flow_ready")[-1]  # type: ignore[attr-defined, no-any-return]


def test_a_changed_partition_count_is_refused_at_the_start(toy: Toy) -> None:
    name = toy.topics.asked.name
    toy.admin.create_partitions([NewPartitions(name, 3)])[name].result(10)
    worker = toy.spawn()
    assert worker.wait() == 1
    assert "TopicsDiffer" in worker.child.tail()
    assert "carillon topics plan" in worker.child.tail()


def test_topics_that_all_have_another_count_than_was_set_are_refused_at_the_start(toy: Toy) -> None:
    worker = toy.spawn(TOY_PARTITIONS="4")
    assert worker.wait() == 1
    assert "have 2 partitions; CARILLON_PARTITIONS says 4: see `carillon topics plan`" in worker.child.tail()


@pytest.mark.parametrize("purpose", ["log", "out"])
def test_a_missing_topic_is_refused_at_the_start(toy: Toy, purpose: str) -> None:
    name = getattr(toy.topics, purpose).name
    toy.admin.delete_topics([name])[name].result(10)
    worker = toy.spawn()
    assert worker.wait() == 1
    assert "TopicsDiffer" in worker.child.tail()


def test_a_topic_made_anew_is_read_from_its_start(toy: Toy) -> None:
    first = toy.ask(*[{}] * 100)
    worker = toy.start()
    toy.await_ids(first)
    toy.await_commits()
    assert worker.stop() == 0
    toy.make_anew(toy.topics.asked)
    toy.start()
    toy.await_ids(toy.ask(*[{}] * 10))


def test_offsets_committed_past_the_end_of_a_log_are_refused_instead_of_waiting_for_it(toy: Toy) -> None:
    toy.ask({}, partition=0)
    past = ConsumerGroupTopicPartitions(f"carillon-{toy.name}", [TopicPartition(toy.topics.asked.name, 0, 1_000)])
    toy.admin.alter_consumer_group_offsets([past])[past.group_id].result(10)
    worker = toy.spawn()
    assert worker.wait() == EXIT_MISCONFIGURED
    assert "the topic was made anew" in worker.events("fail_stop")[0]["trace"]


LOOP_MS = 15.0
"""A hand-over of 256 records costs the toy's loop 8 ms of CPU; a backlog in one piece would cost hundreds."""


def test_a_backlog_does_not_hold_the_loop_for_longer_than_a_hand_over(toy: Toy, tmp_path: Path) -> None:
    ids = toy.ask(*[{}] * 20_000)
    pulse = tmp_path / "pulse"
    worker = toy.start(TOY_PULSE=str(pulse))
    pulse.touch()
    toy.await_ids(ids[-1:], 40)
    assert worker.stop() == 0
    assert float(pulse.read_text()) < LOOP_MS


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A broker that a test may kill."""
    with Stack(tmp_path / "stack", parts=("kafka",), lib=LIB) as stack:
        yield stack


def test_a_broker_that_is_killed_and_comes_back_costs_nothing_and_is_told_of(
    own_stack: Stack, tmp_path: Path, nursery: Nursery
) -> None:
    toy = Toy(own_stack.addresses.kafka, tmp_path, nursery)
    worker = toy.start()
    wanted = toy.stream(2_000, **SLOW)
    amid(toy)
    own_stack.kill("kafka")
    wanted += toy.stream(1_000)
    eventually(lambda: worker.events("group_silent"), 15)
    assert re.search(r"^engine_group_unheard_seconds\{.*\} [1-9]", worker.page("/metrics"), re.MULTILINE)
    own_stack.revive("kafka")
    toy.flush()
    eventually(lambda: toy.tallies() == wanted, 40)
    assert set(toy.ids()) == set(range(3_000))
    assert worker.child.alive(), worker.child.obituary()
    assert worker.events("group_answers")
    eventually(lambda: toy.committed() == toy.ends(), 15)
    toy.close()
