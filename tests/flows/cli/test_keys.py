"""A process whose keys are not its cluster's does nothing in it."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result
from confluent_kafka import KafkaException

from deploy.local.ports import Reservation
from flows.reading import Reader
from flows.settings import Settings
from flows.upstream import Upstream
from schemas import topics
from schemas.records import Delivery, encode
from schemas.topics import Topic
from schemas.vocabulary import Lane, MessageClass
from tables.preferences import context
from tests.watching import eventually

Carillon = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]
ASKED = b'{"tenant": "acme", "user_id": "grace", "idempotency_key": "k"}'


FLOW = "deliver.sms.low"
UNCHECKED = f"""
import agents.deliver
from flows import roster
from flows.engine.host.process import Host, run
from flows.settings import Settings
agents.deliver.UNDECRYPTABLE_WAIT_MS = 1000
found = Settings.from_environment()
run(roster.build(["{FLOW}"], found), Host.of(found, found.state))
"""
"""A worker past the check of its keys, as one that started before the cluster had any."""


def another_key(settings: dict[str, str]) -> dict[str, str]:
    return {**settings, "CARILLON_KEYS": f"1:{base64.b64encode(b'other' + b'k' * 27).decode()}"}


def count(brokers: str, *names: str) -> int:
    """How many records lie in the topics, once each partition has a leader."""
    found = []

    def counted() -> bool:
        reader = Reader(brokers)
        try:
            found.append(sum(1 for name in names for _ in reader.read(reader.partitions(name))))
        except KafkaException:
            return False
        finally:
            reader.close()
        return True

    assert eventually(counted, 20.0)
    return found[0]


def test_a_worker_with_another_key_under_the_same_id_ends_with_the_remedy_and_touches_nothing(
    prepared: dict[str, str], carillon: Carillon, tmp_path: Path
) -> None:
    brokers = prepared["CARILLON_KAFKA"]
    other = another_key(prepared)
    written = (topics.STATUSES.name, topics.DEAD_LETTERS.name, topics.PREFERENCES.name)
    upstream = Upstream(brokers)
    upstream.write(topics.notifications(Lane.HIGH).name, "grace", ASKED)
    upstream.flush()
    before = count(brokers, *written)
    worker = subprocess.run(
        [sys.executable, "-m", "flows.cli", "worker", "route.high", "--id", "other"],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **other, "CARILLON_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert worker.returncode == 2, worker.stderr
    remedy = "key id 1 in CARILLON_KEYS is another key than the cluster's key 1: set the keys"
    assert remedy in worker.stderr.splitlines()[-1]
    for command in (("setup",), ("prefer", "--user", "grace", "--address", "sms=+4917600000001")):
        done = carillon(*command, env=other)
        assert (done.exit_code, remedy in done.stderr) == (2, True), done.output
    assert count(brokers, *written) == before


@contextmanager
def running(command: list[str], settings: dict[str, str], folder: Path) -> Iterator[str]:
    """A process of the engine, until it is told to end; gives the address of its metrics."""
    with Reservation(["metrics"], {}) as held:
        port = held.ports["metrics"]
    env = {**os.environ, **settings, "CARILLON_STATE": str(folder), "CARILLON_METRICS_PORT": str(port)}
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, env=env, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/metrics"
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def said_of(id_: str, brokers: str, topic: Topic) -> list[dict[str, Any]]:
    """The records of a topic about one notification."""
    reader = Reader(brokers)
    try:
        found = [json.loads(message.value() or b"{}") for message in reader.read(reader.partitions(topic.name))]
    finally:
        reader.close()
    return [record for record in found if record.get("notification_id") == id_]


def counted(address: str, name: str) -> float:
    """What a process has counted of a metric, over all labels; nothing before it answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_what_a_worker_with_another_key_cannot_open_waits_with_an_alarm_until_one_with_the_key_sends_it(
    prepared: dict[str, str], tmp_path: Path
) -> None:
    brokers, ring = prepared["CARILLON_KAFKA"], Settings.from_environment(prepared).ring()
    id_, now = str(uuid.uuid4()), int(time.time() * 1000)
    delivery = Delivery(
        notification_id=id_,
        tenant="acme",
        user_id="grace",
        idempotency_key=id_,
        channel="sms",
        message_class=MessageClass.MARKETING,
        category="news",
        template_id="otp",
        address=ring.seal(b"+4917600004712", context("acme", "grace")),
        address_hash=ring.address_hash("acme", "+4917600004712"),
        params=ring.seal(b'{"code": "1"}', id_.encode()),
        deadline_ms=now + 600_000,
        due_ms=now,
        decided_at_ms=now,
        accepted_ms=now,
    )
    upstream = Upstream(brokers)
    upstream.write(topics.deliveries("sms", Lane.LOW).name, id_, encode(delivery))
    upstream.flush()
    with running(["-c", UNCHECKED], another_key(prepared), tmp_path / "foreign") as address:
        assert eventually(lambda: counted(address, "undecryptable_total") >= 1, 60.0)
    assert said_of(id_, brokers, topics.retries(Lane.LOW, "1s"))
    assert said_of(id_, brokers, topics.STATUSES) == said_of(id_, brokers, topics.DEAD_LETTERS) == []
    right = ["-m", "flows.cli", "worker", "retry.low", FLOW, "--id", "right"]
    with running(right, prepared, tmp_path / "right"):
        assert eventually(lambda: bool(said_of(id_, brokers, topics.STATUSES)), 60.0)
    [status] = said_of(id_, brokers, topics.STATUSES)
    assert (status["step"], status["attempt"], status["provider"]) == ("sent", 1, "twilio")
