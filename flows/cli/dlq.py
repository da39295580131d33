"""`carillon dlq`: the dead letters. What was in them stays sealed unless one asks for it."""

from collections.abc import Iterator

import click
import msgspec

from flows.cli.doors import reached
from flows.cli.records import readable, time_of
from flows.cli.table import show as show_table
from flows.reading import Reader
from flows.settings import Settings
from schemas import topics
from schemas.errors import Misconfigured
from schemas.records import DeadLetter, Delivery
from schemas.sealing import KeyRing
from tables.preferences import context

_delivery = msgspec.json.Decoder(Delivery).decode


@click.group()
def dlq() -> None:
    """Look into the dead letters: what could not be processed, and why.

    \b
    Example:  carillon dlq ls --cause retries_spent
    """


@dlq.command()
@click.option("--cause", help="Only letters of this cause.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="The latest so many.")
def ls(cause: str | None, limit: int) -> None:
    """List the latest dead letters.

    \b
    Example:  carillon dlq ls --cause conflict --limit 5
    """
    found = sorted(
        (letter for letter in _letters(Settings.from_environment()) if cause in (None, letter.cause)),
        key=lambda letter: letter.at_ms,
    )
    rows = [_line(letter) for letter in found[-limit:]]
    show_table(("time (UTC)", "cause", "channel", "attempts", "position", "notification"), rows)
    click.echo(f"{len(rows)} of {len(found)}. `carillon dlq show POSITION` tells more of one.")


@dlq.command()
@click.argument("position_or_id")
@click.option("--open", "opened", is_flag=True, help="Open the body with the key ring: personal data on your screen.")
def show(position_or_id: str, opened: bool) -> None:
    """Tell of one dead letter, by the position or id that `ls` shows.

    \b
    Example:  carillon dlq show notifications.high/3/1207
    """
    settings = Settings.from_environment()
    wanted = [found for found in _letters(settings) if position_or_id in (found.position, found.notification_id)]
    if not wanted:
        raise Misconfigured(f"no dead letter lies at {position_or_id}: `carillon dlq ls` lists them")
    for letter in wanted:
        _tell(letter)
        if opened:
            click.echo("\n".join(map(_printable, _open(letter, settings.ring()).split("\n"))))


def _letters(settings: Settings) -> Iterator[DeadLetter]:
    with reached(settings):
        reader = Reader(settings.kafka)
        yield from readable(reader.read(reader.partitions(topics.DEAD_LETTERS.name)), DeadLetter)
        reader.close()


def _line(letter: DeadLetter) -> tuple[object, ...]:
    tried, id_ = len(letter.tried), letter.notification_id or ""
    return time_of(letter.at_ms), letter.cause, letter.channel or "", tried, letter.position, id_


def _tell(letter: DeadLetter) -> None:
    body = f"{len(letter.body)} bytes, sealed; --open shows them" if letter.body else "not kept: go by the position"
    told = {
        "cause": letter.cause,
        "detail": letter.detail,
        "position": letter.position,
        "time": time_of(letter.at_ms),
        "tenant": letter.tenant,
        "user": letter.user_id,
        "key": letter.idempotency_key,
        "notification": letter.notification_id,
        "channel": letter.channel,
        "body": body,
    }
    for name, text in told.items():
        if text:
            click.echo(f"{name:14}{_printable(text)}")
    for tried in letter.tried:
        what = f"{tried.reason} {tried.code}".strip()
        click.echo(f"attempt {tried.attempt:<6}{time_of(tried.at_ms)}  {tried.provider}  {what}, sent: {tried.sent}")


def _printable(text: str) -> str:
    """What a producer wrote, on one line and without orders to a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _open(letter: DeadLetter, ring: KeyRing) -> str:
    """What was in it: an input record as it was, or a delivery with its address and params. Raises Unsealable."""
    if letter.body is None:
        return "(no body was kept)"
    if letter.channel is None:
        return ring.open(letter.body, letter.position.encode()).decode(errors="backslashreplace")
    try:
        delivery = _delivery(letter.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "(its body cannot be read)"
    address = ring.open(delivery.address, context(delivery.tenant, delivery.user_id)).decode()
    params = ring.open(delivery.params, delivery.notification_id.encode()).decode()
    return f"user {delivery.tenant}/{delivery.user_id}, template {delivery.template_id}\n{address}\n{params}"
