"""A process whose keys are not its cluster's does nothing in it."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from confluent_kafka import KafkaException

from flows.reading import Reader
from flows.upstream import Upstream
from schemas import topics
from schemas.vocabulary import Lane
from tests.watching import eventually

Carillon = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]
ASKED = b'{"tenant": "acme", "user_id": "grace", "idempotency_key": "k"}'


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
    other = {**prepared, "CARILLON_KEYS": f"1:{base64.b64encode(b'other' + b'k' * 27).decode()}"}
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
