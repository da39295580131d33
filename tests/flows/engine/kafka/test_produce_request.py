"""The Produce request by hand, held against aiokafka's own encoder and decoder."""

from io import BytesIO

import pytest
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

from flows.engine.kafka.produce_request import BROKER_WAITS_MS, Answer, ProduceRequest, ProduceResponse

TOPICS = [("statuses", [(0, b"first batch"), (7, b"")]), ("straße", [(2**31 - 1, bytes(300))])]
PARTS = [(topic, partition, data) for topic, parts in TOPICS for partition, data in parts]


@pytest.mark.parametrize("parts", [PARTS, [PARTS[0], PARTS[2], PARTS[1]], []], ids=["in order", "mixed", "none"])
def test_a_request_is_what_aiokafka_writes(parts: list[tuple[str, int, bytes]]) -> None:
    theirs = ProduceRequest_v7(None, -1, BROKER_WAITS_MS, TOPICS if parts else [])
    assert ProduceRequest(parts).encode() == theirs.encode()


def test_its_header_is_that_of_any_request() -> None:
    theirs = ProduceRequest_v7(None, -1, BROKER_WAITS_MS, TOPICS).build_request_header(8, "tests")
    assert ProduceRequest(PARTS).build_request_header(8, "tests").encode() == theirs.encode()


def test_an_answer_is_read_as_aiokafka_writes_it() -> None:
    topics = [("statuses", [(0, 0, 2**40, -1, 5), (7, 6, -1, -1, -1)]), ("straße", [(3, -1, 9, 1, 0)])]
    written = ProduceResponse_v7(topics, 12).encode()
    answers = [Answer("statuses", 0, 0, 2**40), Answer("statuses", 7, 6, -1), Answer("straße", 3, -1, 9)]
    assert ProduceResponse.decode(BytesIO(written)) == answers
    assert ProduceResponse.decode(BytesIO(ProduceResponse_v7([], 0).encode())) == []


def test_an_answer_is_read_behind_its_header() -> None:
    stream = BytesIO(b"\0\0\0\x08" + ProduceResponse_v7([("t", [(1, 0, 2, -1, 0)])], 0).encode())
    assert ProduceRequest([]).parse_response_header(stream).correlation_id == 8
    assert ProduceResponse.decode(stream) == [Answer("t", 1, 0, 2)]


@pytest.mark.parametrize("takes", [(8, 13), (0, 6)])
def test_a_broker_that_takes_another_version_is_refused(takes: tuple[int, int]) -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        ProduceRequest([]).prepare({0: takes})
    request = ProduceRequest([])
    assert request.prepare({0: (3, 13)}) is request
