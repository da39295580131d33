"""Kafka's Produce request and its answer, version 7, encoded by hand: aiokafka's own classes cost 10 us a partition.

A `ProduceRequest` goes through `AIOKafkaClient.send` like one of aiokafka's; what comes back is a list of `Answer`.
Version 7 is the last that aiokafka speaks, and Kafka 1.0 to 4.x take it (every field: "Protocol Guide", Produce API).
"""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple, Self

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestHeader_v1, ResponseHeader_v0

BROKER_WAITS_MS = 10_000
"""How long a broker waits for its replicas before it answers REQUEST_TIMED_OUT."""
_VERSION = 7
_ALL_REPLICAS = -1
_NO_TRANSACTION = -1

_START = Struct(">hhii")
_SHORT = Struct(">h")
_INT = Struct(">i")
_PART = Struct(">ii")
_PART_ANSWER = Struct(">ihqqq")

Part = tuple[str, int, bytes]
"""Topic, partition, its record batch."""


class Answer(NamedTuple):
    """What became of the batch of one partition: 0 or Kafka's error code, and the offset of its first record."""

    topic: str
    partition: int
    code: int
    offset: int


class ProduceResponse:
    """Decodes the answer."""

    @staticmethod
    def decode(stream: BytesIO) -> list[Answer]:
        """What follows the header, up to the throttle time. Raises struct.error if it is cut short."""
        body, answers = stream.read(), []
        (topics,) = _INT.unpack_from(body)
        at = _INT.size
        for _ in range(topics):
            (length,) = _SHORT.unpack_from(body, at)
            at += _SHORT.size + length
            topic = body[at - length : at].decode()
            (parts,) = _INT.unpack_from(body, at)
            at += _INT.size
            for _ in range(parts):
                partition, code, offset, _, _ = _PART_ANSWER.unpack_from(body, at)
                at += _PART_ANSWER.size
                answers.append(Answer(topic, partition, code, offset))
        return answers


class ProduceRequest:
    """Batches for partitions that one broker leads: acks=all, no transaction."""

    API_KEY = 0
    API_VERSION = _VERSION
    RESPONSE_TYPE = ProduceResponse

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts: Sequence[Part] = tuple(parts)

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Self:
        """Itself. Raises IncompatibleBrokerVersion at a broker that takes no version 7."""
        lowest, highest = versions.get(self.API_KEY, (0, 0))
        if not lowest <= _VERSION <= highest:
            raise IncompatibleBrokerVersion(f"Produce {_VERSION} is needed, the broker takes {lowest} to {highest}")
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> Any:
        """The header of any request."""
        return RequestHeader_v1(self, correlation_id, client_id)

    def parse_response_header(self, stream: BytesIO) -> Any:
        """The header of any answer."""
        return ResponseHeader_v0.decode(stream)

    def encode(self) -> bytes:
        """What follows the header."""
        topics: dict[str, list[bytes]] = {}
        for topic, partition, data in self.parts:
            topics.setdefault(topic, []).extend((_PART.pack(partition, len(data)), data))
        pieces = [_START.pack(_NO_TRANSACTION, _ALL_REPLICAS, BROKER_WAITS_MS, len(topics))]
        for topic, parts in topics.items():
            name = topic.encode()
            pieces += _SHORT.pack(len(name)), name, _INT.pack(len(parts) // 2), *parts
        return b"".join(pieces)
