"""The supervisor against its real servers; each test that harms a stack has one of its own."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
from botocore.config import Config
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.stack import PARTS, Addresses, Stack, StackError
from tests.watching import eventually, running

REPOSITORY = Path(__file__).parents[3]
LIB = REPOSITORY / ".carillon" / "lib"
READY_AIM = 5.0  # seconds on a quiet machine
READY_MUST = 10.0  # with others at work on the same cores


def table(addresses: Addresses) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "eu-west-1"}
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("dynamodb", endpoint_url=addresses.dynamodb, config=once, **keys)


def write_everywhere(addresses: Addresses) -> None:
    admin = AdminClient({"bootstrap.servers": addresses.kafka})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(10)
    producer = Producer({"bootstrap.servers": addresses.kafka, "acks": "all"})
    producer.produce("kept", b"from before")
    assert producer.flush(10) == 0
    with redis.Redis.from_url(f"redis://{addresses.redis}") as client:
        client.set("kept", "from before")
    client = table(addresses)
    client.create_table(
        TableName="kept",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="kept", Item={"id": {"S": "from before"}})


def read_kafka(addresses: Addresses) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": addresses.kafka, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    try:
        message = consumer.poll(15)
        return [] if message is None else [message.value()]
    finally:
        consumer.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """The two servers that start in no time."""
    with Stack(tmp_path, parts=("redis", "s3"), lib=LIB) as stack:
        yield stack


def test_five_servers_are_ready_within_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with Stack(tmp_path, fresh=True, lib=LIB) as stack:
        took = time.monotonic() - began
        addresses = stack.addresses
        pids = stack.pids()
        stack.check()
        assert all(getattr(addresses, part) for part in PARTS)
        assert set(pids) == set(PARTS)
    print(f"ready in {took:.1f} s (aim {READY_AIM})")
    assert took < READY_MUST
    assert not any(running(pid) for pid in pids.values())


def test_each_server_is_announced_when_it_answers(tmp_path: Path) -> None:
    lines: list[str] = []
    stack = Stack(tmp_path, parts=("redis", "s3"), lib=LIB)
    try:
        stack.start(lines.append)
    finally:
        stack.stop()
    assert [line.split()[0] for line in lines] == ["redis", "s3"]


def test_what_was_written_survives_a_restart_and_not_a_fresh_one(tmp_path: Path) -> None:
    with Stack(tmp_path, parts=("kafka", "redis", "dynamodb"), lib=LIB) as stack:
        write_everywhere(stack.addresses)
    with Stack(tmp_path, parts=("kafka", "redis", "dynamodb"), lib=LIB) as stack:
        assert read_kafka(stack.addresses) == [b"from before"]
        with redis.Redis.from_url(f"redis://{stack.addresses.redis}") as client:
            assert client.get("kept") == b"from before"
        item = table(stack.addresses).get_item(TableName="kept", Key={"id": {"S": "from before"}})["Item"]
        assert item == {"id": {"S": "from before"}}
    with (
        Stack(tmp_path, parts=("redis",), fresh=True, lib=LIB) as stack,
        redis.Redis.from_url(f"redis://{stack.addresses.redis}") as client,
    ):
        assert client.get("kept") is None
    assert not (tmp_path / ".carillon" / "data" / "kafka").exists()


def test_the_environment_tells_of_what_was_started_only(small: Stack) -> None:
    addresses = small.addresses
    told = {name: value for name, value in addresses.environment().items() if name.startswith("CARILLON_")}
    assert told == {"CARILLON_S3": addresses.s3}


def test_a_taken_port_is_named_with_the_server_that_wants_it(tmp_path: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(StackError, match=f"redis wants port {port}.*taken"):
            Stack(tmp_path, parts=("redis",), ports={"redis": port}, lib=LIB).start()


def test_a_fixed_port_is_the_one_that_answers(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Stack(tmp_path, parts=("redis",), ports={"redis": port}, lib=LIB) as stack:
        assert stack.addresses.redis == f"127.0.0.1:{port}"


def test_a_dead_server_is_named_with_the_end_of_its_log(small: Stack) -> None:
    small.check()
    small.kill("s3")
    with pytest.raises(StackError, match=r"s3 ended with exit code -9.*(?s:.)*Running on"):
        small.check()


def test_killed_servers_come_back_one_by_one_on_their_ports(small: Stack) -> None:
    with redis.Redis.from_url(f"redis://{small.addresses.redis}") as client:
        client.set("kept", 1)
        small.kill("redis")
        small.kill("s3")
        small.revive("redis")
        small.revive("s3")
        small.check()
        assert client.get("kept") == b"1"


def test_a_server_that_cannot_start_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".carillon" / "data" / "redis" / "appendonly.aof").mkdir(parents=True)
    stack = Stack(tmp_path, parts=("s3", "redis"), lib=LIB)
    with pytest.raises(StackError, match="redis ended with exit code"):
        stack.start()
    assert stack.pids() == {}


def test_missing_jars_are_told_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make setup"):
        Stack(tmp_path, parts=("dynamodb",), lib=tmp_path / "empty").start()


def test_a_second_stack_on_the_same_data_is_refused(small: Stack, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="Another stack uses"):
        Stack(tmp_path, parts=("redis",), fresh=True, lib=LIB).start()
    small.check()


SUPERVISOR = """
import sys, time
from pathlib import Path
from deploy.local.stack import Stack
stack = Stack(Path(sys.argv[1]), parts=("redis", "s3", "dynamodb"), lib=Path(sys.argv[2]))
stack.start()
print(*stack.pids().values(), flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_supervisor_killed_with_9(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), str(LIB)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        assert len(pids) == 3
        assert all(running(pid) for pid in pids)
        supervisor.send_signal(signal.SIGKILL)
    assert eventually(lambda: not any(running(pid) for pid in pids), 5)
    # The data is free at once for the next stack.
    with Stack(tmp_path, parts=("redis",), lib=LIB):
        pass
