"""A record on its way from the client to a stage."""

from collections.abc import Sequence
from typing import Any

import msgspec


class Fetched(msgspec.Struct, gc=False):
    """What a stage sees as its input: seven fields that the collector need not trace."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def fetched(message: Any, topic: str, partition: int) -> Fetched:
    """A record of librdkafka's, which types all of it as possibly absent; where it lies is known already."""
    return Fetched(
        topic,
        partition,
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or (),
    )
