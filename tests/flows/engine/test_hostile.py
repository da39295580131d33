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


def test_a_record_that_leads_to_one_no_broker_takes_is_buried_and_the_worker_goes_on(toy: Toy) -> None:
    worker = toy.start()
    ids = toy.ask({}, {"do": "big", "bytes": 1_200_000}, {}, {"do": "large call"}, {}, partition=0)
    toy.await_ids([ids[0], ids[2], ids[3], ids[4]])
    toy.await_commits()
    dead = {message.key(): (message.value() or b"").decode() for message in toy.records(toy.topics.dead)}
    assert dead.keys() == {b"1", b"result of %d" % ids[3]}
    assert all(detail.startswith(f"too large for {toy.topics.out.name}: 1200") for detail in dead.values())
    assert (worker.metric("engine_oversize_total"), worker.metric("engine_culprits_total")) == (2, 0)
    assert worker.child.alive(), worker.child.obituary()
