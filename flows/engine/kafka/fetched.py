"""A record on its way from the client to a stage."""

from collections.abc import Sequence
from operator import methodcaller
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
    headers: Sequence[tuple[str, bytes | None]] = ()


_headers = methodcaller("headers")
"""For a name that is no UTF-8 confluent-kafka 2.16 sets an error and returns a list with a null pointer in it. Python
checks for that, with a SystemError, only where it does not call the method by its fast path."""


def fetched(message: Any, topic: str, partition: int) -> Fetched:
    """A record of librdkafka's, which types all of it as possibly absent; where it lies is known already.

    Kafka has no rule for the bytes of a header's name. Where one is no UTF-8, the record counts as one without headers.
    """
    try:
        headers = _headers(message) or ()
    except (UnicodeDecodeError, SystemError):
        headers = ()
    return Fetched(
        topic,
        partition,
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
    )
