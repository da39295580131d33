"""The records: what may be said on a topic. JSON on the wire, generated JSON Schema in `schemas/json/`.

Readers ignore fields they do not know. A record whose `schema` is newer than its reader is parked with the dead
letters, never dropped. Times in `_ms` are UTC epoch milliseconds; sealed fields are base64 of what `sealing` makes.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from schemas.vocabulary import MessageClass, Step

MAX_NAME_BYTES = 256
"""Of UTF-8. A partition key of DynamoDB takes 2,048 bytes: a tenant and a user fit, were each byte escaped as three. A
sort key and the key of an object in S3, where a template lies, take 1,024."""
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_BYTES, extra_json_schema={"pattern": "^[^\\u001f]*$"})]
"""Part of a key. Readers check themselves that it holds no U+001F, which stands between parts, and count its bytes if
it is not ASCII (`schemas.keys.check_names`): a pattern costs 2 us a record."""
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A whole number that fits every entry and row."""
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A whole number that stays one when it is counted on."""
Sealed = bytes
ChannelName = Annotated[str, Meta(min_length=1, max_length=32)]
Channels = Annotated[list[str], Meta(max_length=32)]
"""There are 8 channels at most (`schemas.channel`); a producer may repeat some."""

MAX_ADDRESS = 4096
"""Characters of the longest address, a device's registration token; `schemas/channels/` has each channel's form."""
MAX_ADDRESSES = 64
"""A user's, on all channels. Sealed, 64 of the longest take 360 kB of a record of at most 900 kB."""
MAX_OPT_OUTS = 256
"""Of a user. With the longest categories they take 410 kB of a record."""
SealedAddress = Annotated[bytes, Meta(max_length=MAX_ADDRESS + 29)]
"""Sealing adds 29 bytes: key id, nonce and tag."""
AddressHash = Annotated[str, Meta(min_length=32, max_length=32, extra_json_schema={"pattern": "^[0-9a-f]*$"})]
"""16 bytes of HMAC in hex, as `KeyRing.address_hash` makes it: part of a key. Readers check its digits themselves."""


class Record(Struct, kw_only=True, omit_defaults=True, gc=False):
    """What every record carries. `schema` is the major version: a reader refuses what is newer than it knows."""

    schema: int = 1


class Notification(Record, kw_only=True, gc=False):
    """What a producer asks for: one message to one user. The Kafka key is `user_id`.

    `channels` is one channel, a list of them, or `best`. `deadline` is absolute; without it the class decides.
    `params` nest 64 levels at most. `produced_at` is the producer's clock and takes no part in dedup. `sealed_params`
    is what the engine writes in place of `params` when a notification goes round again; `due_ms` and `tries` belong to
    such a round.
    """

    tenant: Name
    idempotency_key: Name
    user_id: Name
    channels: str | Channels
    category: Name
    message_class: MessageClass = field(name="class")
    template_id: Name
    template_version: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    params: dict[str, Any] = {}
    deadline: Annotated[datetime, Meta(tz=True)] | None = None
    collapse_key: Annotated[str, Meta(max_length=64)] | None = None
    produced_at: datetime | None = None
    sealed_params: Sealed | None = None
    due_ms: Whole | None = None
    tries: Count = 0
    accepted_ms: Whole | None = None
    round: Count = 1


class Address(Struct, kw_only=True, omit_defaults=True, gc=False):
    """Where a user can be reached on a channel: plain from outside (`address`), sealed with its hash from us."""

    channel: ChannelName
    address: Annotated[str, Meta(max_length=MAX_ADDRESS)] | None = None
    sealed: SealedAddress | None = None
    hash: AddressHash | None = None
    verified: bool = True


class OptOut(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A positive statement: `out` from `category` (or `*`) on `channel` (or `*`); a later opt-in says `out: false`.

    Categories are compared without case; a channel that is not known makes the whole preference a dead letter.
    """

    channel: ChannelName = "*"
    category: Name = "*"
    out: bool = True


class Preference(Record, kw_only=True, gc=False):
    """A user's addresses and opt-outs. Compacted, keyed by tenant and user; no tombstone means consent.

    Producers key it by `user_id` and may write addresses in plain text: the engine writes each once more, under the
    user's key and with its addresses sealed. `accepted_ms`, when the producer's record was appended, and
    `opted_out_before`, which says that an earlier version spoke of opt-outs, are the engine's to write. `preferred`
    orders channels for `best`; those it leaves out follow in the default order. `version` only grows: of two records
    the higher holds, of two equal ones the one accepted later. `locale` is a tag of BCP 47 (35 characters, RFC 5646
    4.4.1), `time_zone` a name of the IANA data base, `home_region` the cloud's name of a region.
    """

    tenant: Name
    user_id: Name
    version: Whole
    addresses: Annotated[list[Address], Meta(max_length=MAX_ADDRESSES)] = []
    preferred: Annotated[list[ChannelName], Meta(max_length=32)] = []
    opt_outs: Annotated[list[OptOut], Meta(max_length=MAX_OPT_OUTS)] = []
    locale: Annotated[str, Meta(max_length=35)] | None = None
    time_zone: Annotated[str, Meta(max_length=64)] | None = None
    home_region: Annotated[str, Meta(max_length=64)] | None = None
    accepted_ms: Whole | None = None
    opted_out_before: bool = False


class Tried(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One attempt as its delivery remembers it."""

    attempt: int
    provider: str
    sent: str
    reason: str
    at_ms: int
    code: str = ""


class Delivery(Record, kw_only=True, gc=False):
    """One channel, one address. Keyed by `notification_id` on the channel's topic; `due_ms` is the intended time.

    `attempt` counts every attempt; `unspent` says how many of those before it made no call, and so spent none of what
    the class allows.
    """

    notification_id: str
    tenant: str
    user_id: str
    idempotency_key: str
    channel: str
    message_class: MessageClass = field(name="class")
    category: str
    template_id: str
    template_version: int | None = None
    address: Sealed
    address_hash: str
    params: Sealed
    deadline_ms: int
    due_ms: int
    decided_at_ms: int
    accepted_ms: int
    collapse_key: str | None = None
    attempt: int = 1
    unspent: int = 0
    round: int = 1
    possible_duplicate: bool = False
    tried: list[Tried] = []


class Status(Record, kw_only=True, gc=False):
    """One step of a notification, keyed by `notification_id`: a decision (no channel) or a delivery's move or end."""

    notification_id: str
    tenant: str
    user_id: str
    step: Step
    at_ms: int
    position: str
    accepted_ms: int = 0
    round: int = 1
    reason: str = ""
    channel: str | None = None
    address_hash: str | None = None
    deliveries: int = 0
    attempt: int = 0
    provider: str = ""
    provider_message_id: str = ""
    possible_duplicate: bool = False


class Suppression(Record, kw_only=True, gc=False):
    """A positive record, keyed by `key`: `blocked` or, later, not. `since_ms` orders two of them.

    That of a user holds all of the user's opt-outs as `channel/category`, so that a later one takes back what it does
    not name.
    """

    key: str
    blocked: bool
    reason: str
    since_ms: Whole
    opt_outs: list[str] = []


class DeadLetter(Record, kw_only=True, gc=False):
    """What could not be processed: why, where it lay, its sealed body (none if too large: go by its position).

    `detail` says more of the cause: the path of a field and what is expected there, a hint at an envelope, or the error
    that a stage raised; never a value. `tenant`, `user_id` and `idempotency_key` are as far as they can be read, each
    cut to 1,024 bytes; `notification_id` is there where these three are whole. `channel` is that of a delivery, whose
    body is its record; any other body is sealed for its position.
    """

    cause: str
    detail: str = ""
    position: str
    key: Sealed | None = None
    body: Sealed | None = None
    at_ms: int
    notification_id: str | None = None
    user_id: str | None = None
    tenant: str | None = None
    idempotency_key: str | None = None
    channel: str | None = None
    tried: list[Tried] = []


class KeyRegistration(Record, kw_only=True, gc=False):
    """Fingerprints of the keys that a cluster is used with, and the ids of keys that it is used with no longer."""

    index_key: str
    keys: dict[int, str]
    retired: list[int] = []


RECORDS: tuple[type[Record], ...] = (
    Notification,
    Preference,
    Delivery,
    Status,
    Suppression,
    DeadLetter,
    KeyRegistration,
)

MAX_VALUE_BYTES = 900_000
"""Largest value we produce, but for the dead letter of such a delivery, which is in base64 in it and takes a third more
than its 700 kB; a broker's default limit for a batch is 1 MiB."""

MAX_BATCH_BYTES = 1_048_588
"""What a broker takes as one batch, on every topic of ours (max.message.bytes; it is Kafka's default)."""

MAX_RECORD_BYTES = 1_000_000
"""Largest key, value and headers of one record that is produced: alone in a batch it fits, however it compresses."""

MAX_INPUT_BYTES = 512 * 1024
"""Largest notification taken: sealed and in base64 it must still fit a record of ours."""

encode = msgspec.json.Encoder().encode
canonical = msgspec.json.Encoder(order="deterministic").encode
