"""Records of a topic as commands show them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec
from confluent_kafka import Message

from flows.reading import position
from schemas.records import Record

R = TypeVar("R", bound=Record)


def readable(messages: Iterable[Message], kind: type[R]) -> Iterator[R]:
    """The records of one kind; of what is none the position is told on stderr."""
    decode = msgspec.json.Decoder(kind).decode
    for message in messages:
        value = message.value()
        if value is None:
            continue
        try:
            record = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            click.echo(f"{position(message)} cannot be read and is left out", err=True)
        else:
            yield record


def time_of(at_ms: int) -> str:
    """Epoch milliseconds as a date and a time of day, in UTC."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[:-6]
    except (ValueError, OverflowError):  # whoever wrote it meant another unit
        return f"{at_ms} ms"
