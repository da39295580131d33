"""A record on its way from the client's thread to a stage."""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition


class Fetched(msgspec.Struct, gc=False):
    """What a stage sees as its input: seven fields that the collector need not trace."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def fetched(_: object, place: TopicPartition, record: Any) -> Fetched:
    """A record of the client's, which lies in `place`."""
    return Fetched(
        place.topic, place.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )
