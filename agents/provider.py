"""The contract with a provider: a `Message` becomes one `Call`, and its `Reply` or `Fault` becomes one `Result`.

A provider is a frozen dataclass in `agents/providers/`, one file a vendor, free of sockets and clocks. Its fields are
its environment (`Twilio.account` is CARILLON_TWILIO_ACCOUNT), so it is tested with a dict and a canned reply.
Whatever a vendor says comes down to one question that decides about repeats: was the message sent?
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import ClassVar, Protocol, Self

from agents.provider_settings import configured
from schemas.discovery import modules
from schemas.errors import Misconfigured
from schemas.vocabulary import MessageClass


class Sent(StrEnum):
    """Whether the provider took the message, as far as anyone can know."""

    NO = "no"
    YES = "yes"
    MAYBE = "maybe"


class Kind(StrEnum):
    """What a call came to; each kind has one right way to go on."""

    ACCEPTED = "accepted"
    """The provider has it, which is not yet delivered."""
    REJECTED_RECIPIENT = "rejected_recipient"
    """A dead number, mailbox or device: never again to this address."""
    OPTED_OUT = "opted_out"
    """The person said stop: never again, and never through another provider."""
    REJECTED_REQUEST = "rejected_request"
    """Our text or template is wrong: a retry would be refused again."""
    THROTTLED = "throttled"
    """Certainly not sent; wait."""
    UNAVAILABLE = "unavailable"
    """Certainly not sent; a retry may do."""
    AMBIGUOUS = "ambiguous"
    """It may have been sent: a repeat may be a duplicate."""
    MISCONFIGURED = "misconfigured"
    """Key, quota, sender or account: no call will do until somebody acts."""


_SENT = {Kind.ACCEPTED: Sent.YES, Kind.AMBIGUOUS: Sent.MAYBE}


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one address, rendered and in plain text.

    `ref` is opaque (it travels to the provider and back); `parts` is body for sms, subject, body and perhaps html for
    email, title and body for push; `deadline_s` is the UTC second after which nobody wants it, `ttl_s` the seconds
    until then, above 0; messages of one `collapse_key` replace each other on a device.
    """

    ref: str
    channel: str
    address: str = field(repr=False)
    parts: Mapping[str, str] = field(repr=False)
    message_class: MessageClass = field(repr=False)
    ttl_s: float = field(repr=False)
    deadline_s: int = field(repr=False)
    collapse_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `url` and `headers` do not change from message to message; `timeout_s` is for all of it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: header names in lower case, a body that may be cut short, `at_s` the UTC second it came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """No answer came. `what` is a short fixed phrase; `nothing_left` says that no byte of the request left us."""

    nothing_left: bool
    what: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """One row of a provider's code table: what a code means, and whether the address is to be suppressed.

    `destination` marks what holds for this destination's country or route alone: no ground to stop the whole account.
    """

    kind: Kind
    reason: str
    suppress: bool = False
    destination: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a call came to. `reason` is a short fixed phrase, fit for a metric label; `code` is the provider's own."""

    kind: Kind
    provider: str
    reason: str
    code: str = ""
    retry_after_s: float | None = None
    message_id: str = ""
    suppress: bool = False
    destination: bool = False

    @property
    def sent(self) -> Sent:
        return _SENT.get(self.kind, Sent.NO)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and its life in seconds."""

    value: str = field(repr=False)
    expires_in_s: float


class Credential(Protocol):
    """How a provider whose calls need a short-lived token gets one. `call` may compute for milliseconds."""

    @property
    def provider(self) -> str: ...

    def call(self, now_s: float) -> Call: ...

    def read(self, reply: Reply | Fault) -> Token | Result: ...


class Provider(Protocol):
    """What each file in `agents/providers/` fulfils. `window` is the most calls it takes at a time, per process."""

    name: ClassVar[str]
    channel: ClassVar[str]

    @property
    def window(self) -> int: ...

    def call(self, message: Message, token: str | None) -> Call:
        """The request for a message, the same bytes each time; ValueError or KeyError if it cannot be built."""
        ...

    def read(self, reply: Reply | Fault) -> Result:
        """What the answer means; never raises, whatever the bytes."""
        ...

    def credential(self) -> Credential | None:
        return None

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self | None:
        """The provider as its CARILLON_<NAME>_* say, None without any; Misconfigured if some are missing."""
        return configured(cls, cls.name, env)


def discover(env: Mapping[str, str]) -> dict[str, Provider]:
    """The configured provider of each channel.

    CARILLON_<CHANNEL>_PROVIDER chooses where several are configured; without it that is Misconfigured.
    """
    found: dict[str, dict[str, Provider]] = {}
    for module in modules(import_module("agents.providers")):
        provider: Provider | None = module.PROVIDER.from_environment(env)
        if provider is not None:
            found.setdefault(provider.channel, {})[provider.name] = provider
    return {channel: _chosen(channel, several, env) for channel, several in found.items()}


def _chosen(channel: str, several: Mapping[str, Provider], env: Mapping[str, str]) -> Provider:
    variable = f"CARILLON_{channel.upper()}_PROVIDER"
    name = env.get(variable) or (next(iter(several)) if len(several) == 1 else "")
    if name not in several:
        raise Misconfigured(f"set {variable} to one of the configured providers: {', '.join(sorted(several))}")
    return several[name]
