"""The records of one partition and their batches, without a network."""

import math

from aiokafka.record.default_records import DefaultRecordBatch

from flows.engine.kafka.queued import BATCH_BYTES, WEIGHT, Emission, Queue


class Told:
    """What was told of emissions, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def emission(self, name: str, began: float = 0.0) -> Emission:
        return Emission(0, began, 5, lambda: self.events.append(name), lambda *at: self.events.append(at))


def values(data: bytes) -> list[bytes | None]:
    return [record.value for record in DefaultRecordBatch(data)]


def test_a_batch_is_the_same_until_it_is_acknowledged_and_the_next_goes_on_behind_it() -> None:
    told, queue = Told(), Queue("t", 3)
    first, second = told.emission("first"), told.emission("second")
    queue.add((b"k", b"1", None, first, False))
    queue.add((b"k", b"2", None, first, False))
    batch = queue.next_batch(7, 0)
    data = batch.data
    queue.add((b"k", b"3", None, second, False))
    assert queue.next_batch(7, 0) is batch
    assert (batch.data, values(data)) == (data, [b"1", b"2"])
    assert queue.acked(10) == 2 * WEIGHT + 2
    assert told.events == ["first"]
    following = DefaultRecordBatch(queue.next_batch(7, 0).data)
    assert (following.producer_id, following.base_sequence, [r.value for r in following]) == (7, 2, [b"3"])


def test_what_is_part_of_two_batches_waits_for_both() -> None:
    told, queue = Told(), Queue("t", 3)
    emission = told.emission("whole")
    for _ in range(5):
        queue.add((None, bytes(BATCH_BYTES // 3), None, emission, False))
    for wanted in (2, 2, 1):
        assert told.events == []
        assert len(values(queue.next_batch(7, 0).data)) == wanted
        queue.acked(0)
    assert (told.events, bool(queue)) == (["whole"], False)


def test_every_changelog_record_is_told_with_the_offset_behind_it_before_anything_is_whole() -> None:
    told, queue = Told(), Queue("t", 3)
    first, second = told.emission("first"), told.emission("second")
    for emission, logged in ((first, True), (first, False), (first, True), (second, True)):
        queue.add((None, b"v", None, emission, logged))
    queue.next_batch(7, 0)
    queue.acked(100)
    assert told.events == [("t", 3, 101), ("t", 3, 103), ("t", 3, 104), "first", "second"]


def test_an_offset_that_is_not_known_is_not_told() -> None:
    told, queue = Told(), Queue("t", 3)
    queue.add((None, b"v", None, told.emission("whole"), True))
    queue.next_batch(7, 0)
    queue.acked(None)
    assert told.events == ["whole"]


def test_a_queue_is_as_old_as_its_oldest_record() -> None:
    told, queue = Told(), Queue("t", 3)
    assert queue.began == math.inf
    queue.add((None, b"v", None, told.emission("first", 4.0), False))
    queue.next_batch(7, 0)
    queue.add((None, b"v", None, told.emission("second", 6.0), False))
    assert queue.began == 4.0
    queue.acked(0)
    assert queue.began == 6.0


def test_a_large_value_weighs_as_much_as_many_records() -> None:
    told, queue = Told(), Queue("t", 3)
    for value in (None, b"v" * 300, bytes(100_000)):
        queue.add((None, value, None, told.emission("it", 4.0), False))
    queue.next_batch(7, 0)
    assert queue.acked(0) == 3 * WEIGHT + 100_300
