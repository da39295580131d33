"""What a worker does with records that nobody should write, and with what it cannot write itself."""

import json

from tests.flows.engine.conftest import Toy
from tests.flows.engine.kafka.wire import write_named


async def test_a_record_with_a_header_name_that_is_no_utf_8_reaches_the_stage(toy: Toy) -> None:
    worker = toy.start()
    # More than one, and behind others: what Python calls often, it calls by a path that checks less.
    toy.await_ids(toy.ask(*[{}] * 100, partition=0))
    for id_ in (1_000, 1_001):
        value = json.dumps({"id": id_}).encode()
        await write_named(toy.brokers, (toy.topics.asked.name, 0), b"k", value, b"\xff\xfe\xff\xfe")
    toy.await_ids([1_000, 1_001, *toy.ask({}, partition=0)])
    toy.await_commits()
    assert worker.child.alive(), worker.child.obituary()
