"""One contract for each row of the table in `flows.engine.seams`, so that an upgrade shows what it broke."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.codec import lz4_decode, lz4_encode
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.record._crecords import default_records
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.consumer import Consumer, ConsumerThread
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread

from flows.engine.flow import Flow
from flows.engine.host.process import Host, app_of
from flows.engine.seams import BatchConsumer, BatchTransport, Boot, EngineApp, NoTables, Thread
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tests.flows.engine.conftest import Toy

RING = KeyRing({1: bytes(32)}, bytes(32))


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[EngineApp]:
    """The app of a high flow that is not started."""
    flow = Flow("seam.high", Lane.HIGH, {}, lambda record, detail, tables, outbox: None)
    app = app_of(flow, Host("w1", "127.0.0.1:1,127.0.0.1:2", tmp_path, RING, 1))
    yield app
    app.consumer.thread.thread_loop.close()  # type: ignore[attr-defined]


def test_the_app_asks_a_method_of_ours_for_its_transport_and_the_transport_for_its_consumer(app: EngineApp) -> None:
    assert parameters(faust.App._new_transport) == ["self"]
    assert isinstance(app.transport, BatchTransport)
    assert issubclass(BatchTransport, driver.Transport)
    assert isinstance(app.consumer, BatchConsumer)
    assert isinstance(app.consumer.thread, Thread)


def test_a_crash_goes_through_one_method_that_takes_the_reason() -> None:
    assert parameters(faust.App._crash) == ["self", "reason"]
    assert "self._crash(reason)" in inspect.getsource(faust.App.crash)


def test_the_boot_strategy_turns_producer_and_web_off_by_attribute(app: EngineApp) -> None:
    assert hasattr(BootStrategy, "enable_kafka_producer")
    assert hasattr(BootStrategy, "enable_web")
    assert isinstance(app.boot_strategy, Boot)
    assert not list(app.boot_strategy.kafka_producer())
    assert not list(app.boot_strategy.web_server())


async def test_the_table_manager_is_replaced_and_its_events_let_the_conductor_subscribe(app: EngineApp) -> None:
    tables = app.tables
    assert isinstance(tables, NoTables)
    await tables.on_start()
    assert tables._tables_finalized.is_set()
    assert tables._tables_registered.is_set()
    assert parameters(TableManager.wait_until_recovery_completed) == ["self"]
    assert await asyncio.wait_for(tables.wait_until_recovery_completed(), 1) is False


async def test_the_worker_consumer_is_made_by_one_method_and_gets_our_assignor_and_isolation(app: EngineApp) -> None:
    assert parameters(driver.AIOKafkaConsumerThread._create_worker_consumer) == ["self", "transport"]
    thread = app.consumer.thread  # type: ignore[attr-defined]
    consumer = thread._create_worker_consumer(app.transport)
    consumer._closed = True
    assert list(consumer._partition_assignment_strategy) == [app.assignor]
    assert "isolation_level" in parameters(AIOKafkaConsumer.__init__)
    assert consumer._isolation_level == "read_committed"
    assert (consumer._group_instance_id, consumer._session_timeout_ms) == ("seam.high-w1", 6000)
    assert sorted(host[:2] for host in consumer._client.hosts) == [("127.0.0.1", 1), ("127.0.0.1", 2)]
    assert "isolation_level=self._isolation_level" in inspect.getsource(AIOKafkaConsumer.start)


def test_a_rebalance_reaches_two_methods_of_the_consumer_in_the_main_loop() -> None:
    assert parameters(Consumer.on_partitions_revoked) == ["self", "revoked"]
    assert parameters(Consumer.on_partitions_assigned) == ["self", "assigned", "generation_id"]
    assert "self.consumer.threadsafe_partitions_revoked" in inspect.getsource(ConsumerThread.on_partitions_revoked)
    assert "self.consumer.threadsafe_partitions_assigned" in inspect.getsource(ConsumerThread.on_partitions_assigned)
    for name in ("on_rebalance_return", "on_rebalance_end"):
        assert parameters(getattr(faust.App, name)) == ["self"]


def test_a_listener_that_raises_is_only_logged_by_the_client_so_ours_ends_the_process() -> None:
    prepare = inspect.getsource(GroupCoordinator._on_join_prepare)
    assert "except Exception:" in prepare
    assert "log.exception(" in prepare
    assert "die(" in inspect.getsource(BatchConsumer.on_partitions_revoked)


def test_draining_emptying_and_committing_are_methods_of_the_consumer() -> None:
    assert parameters(Consumer._drain_messages) == ["self", "fetcher"]
    assert parameters(Consumer.wait_empty) == ["self"]
    assert parameters(Consumer.commit)[:2] == ["self", "topics"]
    assert parameters(Consumer.verify_all_partitions_active) == ["self"]


def test_the_thread_has_its_loop_and_that_of_its_parent_and_its_two_hooks() -> None:
    assert parameters(driver.AIOKafkaConsumerThread.on_start) == ["self"]
    assert parameters(driver.AIOKafkaConsumerThread.on_thread_stop) == ["self"]
    made = inspect.getsource(ServiceThread.__init__)
    assert "self.thread_loop" in made
    assert "self.parent_loop" in made


async def test_the_fetcher_fetches_in_one_task_and_the_client_is_not_idle_within_a_fetch_context() -> None:
    assert "self._fetch_task = " in inspect.getsource(Fetcher.__init__)
    assert "self._subscriptions = subscriptions" in inspect.getsource(Fetcher.__init__)
    state = SubscriptionState(loop=asyncio.get_running_loop())
    with state.fetch_context():
        await asyncio.sleep(0.002)
        assert state.fetcher_idle_time == 0
    assert "fetcher_idle_time" in inspect.getsource(GroupCoordinator)


def test_the_coordinator_tells_parked_errors_and_committed_offsets_of_several_partitions() -> None:
    assert parameters(GroupCoordinator.check_errors) == ["self"]
    assert parameters(GroupCoordinator.fetch_committed_offsets) == ["self", "partitions"]


def test_the_coordinator_beats_by_a_method_that_says_whether_the_group_answered_to_a_member_of_its_own() -> None:
    assert parameters(GroupCoordinator._do_heartbeat) == ["self"]
    assert "success = await self._do_heartbeat()" in inspect.getsource(GroupCoordinator._heartbeat_routine)
    beats = inspect.getsource(GroupCoordinator._do_heartbeat)
    kicked_out = beats.index("UnknownMemberIdError")
    assert beats.count("return True") == 2
    assert max(beats.index("return True"), beats.rindex("return True")) < kicked_out
    assert "return False" in beats[kicked_out:]


async def test_an_answered_beat_tells_since_when_the_group_counts_on_the_member(app: EngineApp) -> None:
    thread, answers = app.consumer.thread, [True, False]  # type: ignore[attr-defined]

    async def ask() -> bool:
        await asyncio.sleep(0.05)
        return answers.pop(0)

    before = time.monotonic()
    assert await thread._beat(ask)
    heard_at = thread.heard_at
    assert before <= heard_at < time.monotonic() - 0.04
    assert not await thread._beat(ask)
    assert thread.heard_at == heard_at


def test_a_commit_that_was_overtaken_by_a_rebalance_raises_one_of_the_errors_we_try_again_after() -> None:
    assert issubclass(CommitFailedError, KafkaError)
    assert issubclass(IllegalStateError, KafkaError)
    assert isinstance(KafkaError.retriable, bool)


def test_batches_are_packed_by_a_function_of_their_module_and_quickly() -> None:
    assert DefaultRecordBatchBuilder.__module__ == default_records.__name__
    builder = DefaultRecordBatchBuilder(2, DefaultRecordBatch.CODEC_LZ4, 0, -1, -1, 0, 1 << 20)
    for number in range(200):
        builder.append(number, 0, None, f"record {number} of some two hundred".encode(), [])
    packed = bytes(builder.build())[61:]  # behind the header of a batch
    records = lz4_decode(packed)
    assert packed == lz4_encode(records, level=1) != lz4_encode(records)


def test_static_membership_and_start_are_settings_of_the_app(app: EngineApp) -> None:
    conf = app.conf
    assert (conf.id, conf.consumer_group_instance_id) == ("carillon-seam.high", "seam.high-w1")
    assert conf.consumer_auto_offset_reset == "earliest"
    assert (conf.table_standby_replicas, conf.topic_allow_declare, conf.topic_disable_leader) == (0, False, True)
    assert str(conf.canonical_url) == "http://w1.carillon"


@pytest.fixture
async def consumer(toy: Toy) -> AsyncIterator[AIOKafkaConsumer]:
    """A real client with nothing of ours around it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=toy.brokers,
        group_id=toy.name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    yield consumer
    await consumer.stop()


async def test_committed_offsets_come_in_one_call_and_are_absent_where_nothing_was_committed(
    toy: Toy, consumer: AIOKafkaConsumer
) -> None:
    toy.ask(*[{}] * 10, partition=0)
    first, second = (TopicPartition(toy.topics.asked.name, number) for number in (0, 1))
    consumer.assign([first, second])
    await consumer.commit({first: OffsetAndMetadata(7, "")})
    found = await consumer._coordinator.fetch_committed_offsets([first, second])
    assert found[first].offset == 7
    assert second not in found or found[second].offset < 0
    assert await consumer.beginning_offsets([first]) == {first: 0}
    assert await consumer.end_offsets([first]) == {first: 10}
