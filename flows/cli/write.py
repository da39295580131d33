"""`carillon send` and `carillon prefer`."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
from confluent_kafka import Message

from flows import key_registry
from flows.cli.doors import reached
from flows.clock import now_ms
from flows.reading import position
from flows.settings import Settings
from flows.upstream import Upstream, readable, unfit
from schemas.channels import CHANNELS
from schemas.errors import Malformed, Misconfigured
from schemas.keys import notification_id
from schemas.records import Notification, OptOut, Preference
from schemas.vocabulary import BEST, CLASSES, MessageClass
from tables.preferences import sealed_address

TENANT = "acme"


def pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Values of the form `name=value`."""
    found = [text.partition("=") for text in given]
    if any(not name or not sign for name, sign, _ in found):
        raise click.BadParameter("write it as name=value")
    return [(name, value) for name, _, value in found]


def scopes(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Values of the form `channel/category`, where either may be `*`."""
    found = [text.partition("/") for text in given]
    if any(not category or (channel != "*" and channel not in CHANNELS) for channel, _, category in found):
        raise click.BadParameter(f"write it as channel/category; channels are {', '.join(CHANNELS)} and *")
    return [(channel, category) for channel, _, category in found]


@click.command()
@click.option("--user", required=True, help="Whom it is for.")
@click.option("--template", required=True, help="Id of a template in the bucket; seeds: otp, order, invoice, offer.")
@click.option(
    "--class",
    "kind",
    type=click.Choice([kind.value for kind in MessageClass]),
    required=True,
    help="Sets lane, deadline and retries.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    type=click.Choice(list(CHANNELS)),
    help="May be repeated; without it the user's best one.",
)
@click.option("--param", "params", multiple=True, callback=pairs, help="name=value for the template; may be repeated.")
@click.option("--category", help="What opt-outs are by; without it the class.")
@click.option("--key", help="Idempotency key: the same key and request is sent once. Without it a new one.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="So many, each under its own key.")
@click.option("--tenant", default=TENANT, show_default=True, help="Whose user it is.")
def send(
    user: str,
    template: str,
    kind: str,
    channels: tuple[str, ...],
    params: list[tuple[str, str]],
    category: str | None,
    key: str | None,
    count: int,
    tenant: str,
) -> None:
    """Write notifications to Kafka as a producer upstream would; prints each one's id and position.

    `carillon trace` tells what became of an id.

    \b
    Example:  carillon send --user ada --template otp --class otp --channel sms --param code=123456
    """
    first = uuid.uuid4().hex if key is None else key

    def asked(number: int) -> Notification:
        return Notification(
            tenant=tenant,
            idempotency_key=first if count == 1 else f"{first}-{number}",
            user_id=user,
            channels=list(channels) or BEST,
            category=kind if category is None else category,
            message_class=MessageClass(kind),
            template_id=template,
            params=dict(params),
        )

    upstream = Upstream(Settings.from_environment().kafka)
    with _refused():
        readable(asked(count - 1))  # the longest key: either all are written or none
        for each in map(asked, range(count)):
            id_ = notification_id(tenant, CLASSES[each.message_class].lane, user, each.idempotency_key)
            upstream.send(each, partial(_tell, id_))
            upstream.turn()
    upstream.flush()


@contextmanager
def _refused() -> Iterator[None]:
    """Raises Misconfigured for what the engine would bury."""
    try:
        yield
    except Malformed as error:
        raise Misconfigured(f"the engine would not take it: {error}") from None


def _tell(id_: str, message: Message) -> None:
    click.echo(f"{id_}  {position(message)}")


@click.command()
@click.option("--user", required=True, help="Whose preference it is.")
@click.option("--address", "addresses", multiple=True, callback=pairs, help="channel=address; may be repeated.")
@click.option("--opt-out", "outs", multiple=True, callback=scopes, help="channel/category, either may be *.")
@click.option("--opt-in", "ins", multiple=True, callback=scopes, help="Takes an earlier opt-out back, at once.")
@click.option("--prefer", "preferred", multiple=True, type=click.Choice(list(CHANNELS)), help="Order for `best`.")
@click.option("--locale", help="Language tag, such as de-DE.")
@click.option("--time-zone", help="IANA name, such as Europe/Berlin.")
@click.option("--tenant", default=TENANT, show_default=True, help="Whose user it is.")
def prefer(
    user: str,
    addresses: list[tuple[str, str]],
    outs: list[tuple[str, str]],
    ins: list[tuple[str, str]],
    preferred: tuple[str, ...],
    locale: str | None,
    time_zone: str | None,
    tenant: str,
) -> None:
    """Write the whole preference of a user: it takes the place of the former one. Addresses are sealed first.

    \b
    Example:  carillon prefer --user ada --address sms=+4917600000001 --address email=ada@example.org --opt-out sms/news
    """
    if (channel := unfit(addresses)) is not None:
        if channel not in CHANNELS:
            raise Misconfigured(f"--address {channel}=...: no such channel; channels: {', '.join(CHANNELS)}")
        raise Misconfigured(f"--address {channel}=...: not of the form of one; give {CHANNELS[channel].form}")
    settings = Settings.from_environment()
    ring = settings.ring()
    choices = [OptOut(channel=channel, category=category) for channel, category in outs]
    choices += [OptOut(channel=channel, category=category, out=False) for channel, category in ins]
    preference = Preference(
        tenant=tenant,
        user_id=user,
        version=now_ms(),
        addresses=[sealed_address(ring, tenant, user, *pair) for pair in addresses],
        preferred=list(preferred),
        opt_outs=choices,
        locale=locale,
        time_zone=time_zone,
    )
    with _refused():
        readable(preference)
    with reached(settings):
        key_registry.check(settings)
    upstream = Upstream(settings.kafka)
    with _refused():
        upstream.prefer(preference, settings.partitions, lambda message: click.echo(position(message)))
    upstream.flush()
