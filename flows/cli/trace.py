"""`carillon trace`: every step of one notification, from the topics and the store."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
from confluent_kafka import Message

from flows.cli.doors import reached
from flows.cli.records import readable, time_of
from flows.cli.table import show
from flows.clients import Rows
from flows.reading import Reader
from flows.settings import Settings
from schemas import topics
from schemas.errors import Misconfigured
from schemas.keys import partition_of
from schemas.records import DeadLetter, Status
from schemas.topics import Topic

_BEFORE_MS = 60_000
"""How long before its row says a notification was accepted the search begins: clocks differ."""


@click.command()
@click.argument("notification_id")
def trace(notification_id: str) -> None:
    """Tell every step of a notification with its reason, its row in the store, and its dead letters.

    A record that could not be used has no id: its position, as `carillon dlq ls` shows it, does as well.

    \b
    Example:  carillon trace 0b9f3a52-5d5e-5c1f-9e0a-7d1f4c1f2f10
    """
    if not notification_id:
        raise Misconfigured("an empty id is that of no notification: `carillon send` prints ids")
    tell(Settings.from_environment(), notification_id)


def tell(settings: Settings, notification_id: str) -> None:
    """Print all that is known of a notification. Raises Misconfigured where nothing is."""
    with reached(settings):
        row = Rows(settings).get(notification_id)
        reader = Reader(settings.kafka)
        since = _accepted_ms(row) - _BEFORE_MS if row else None
        statuses = list(readable(_under(reader, topics.STATUSES, notification_id, since), Status))
        letters = list(readable(_under(reader, topics.DEAD_LETTERS, notification_id, since), DeadLetter))
        reader.close()
    if not (statuses or letters or row):
        raise Misconfigured(
            f"nothing is known of {notification_id}: `carillon send` prints ids; rows live 30 days; "
            "a record that could not be used has no id: `carillon dlq ls` lists it by its position"
        )
    if statuses:
        _steps(statuses)
    if row or any(status.notification_id for status in statuses):
        _row(row)
    for letter in letters:
        click.echo(f"Dead letter: {letter.cause}; look with: carillon dlq show {letter.position}")


def _under(reader: Reader, topic: Topic, key: str, since_ms: int | None) -> Iterator[Message]:
    """The records under `key`: all of them lie in one partition."""
    places = reader.partitions(topic.name)
    place = places[partition_of(key.encode(), len(places))]
    starts = reader.since([place], since_ms) if since_ms is not None else None
    for message in reader.read([place], starts):
        if message.key() == key.encode():
            yield message


def _steps(statuses: list[Status]) -> None:
    rows = []
    for status in sorted(statuses, key=lambda status: status.at_ms):
        after = f"+{(status.at_ms - status.accepted_ms) / 1000:.3f} s" if status.accepted_ms else ""
        reason = status.reason or (_count(status.deliveries) if status.deliveries else "")
        if status.possible_duplicate:
            reason += " (possible duplicate)"
        attempt = status.attempt or ""
        rows.append((time_of(status.at_ms), after, status.step, status.channel or "", attempt, status.provider, reason))
    show(("time (UTC)", "after", "step", "channel", "attempt", "provider", "reason"), rows)


def _count(deliveries: int) -> str:
    return f"{deliveries} {'delivery' if deliveries == 1 else 'deliveries'}"


def _row(row: dict[str, Any] | None) -> None:
    if row is None:
        click.echo("No row in the store yet: the `record` flow writes it within seconds while it runs.")
        return
    names = ("status", "step", "reason", "channel", "provider", "provider_message_id", "retry_count")
    told = ", ".join(f"{name} {text}" for name in names if (text := next(iter(row.get(name, {"S": ""}).values()))))
    click.echo(f"Row: {told}")


def _accepted_ms(row: dict[str, Any]) -> int:
    return int(datetime.fromisoformat(row["created_at"]["S"]).timestamp() * 1000)
