"""Why a record is invalid and whose it is: what its dead letter says, so that its producer finds and mends it.

Only failed records come here: a good one pays nothing. A detail names the field and what is expected there, never what
the record says: msgspec quotes the value of an enum, so its allowed words are listed instead.
"""

import base64
import json
import re
from enum import Enum
from typing import NamedTuple

import msgspec

from schemas.errors import Malformed
from schemas.keys import check_names, notification_id
from schemas.records import Name, Record
from schemas.vocabulary import Lane

MAX_PART_BYTES = 1024
"""Most UTF-8 bytes of a name, or of a detail, that a dead letter repeats: every valid name fits."""

LOOKED_AT_BYTES = 16 * 1024
"""How much is read of what is no whole JSON object: 2 ms at most."""

_TOLD = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$[\w.\[\]]*)`)?", re.DOTALL)
"""A message of msgspec. A path holds names of the record's type, `[2]` for an item and `[...]` for a member."""
_QUOTES_NOTHING = re.compile(
    r"Expected `[\w |]+`(, got `\w+`| of length [<>=]+ \d+| [<>=]+ -?[\d.]+)"
    r"|Object missing required field `\w+`|Invalid base64 encoded string|(Number|Integer value) out of range"
    r"|Input data was truncated|JSON is malformed: [a-z ]+ \(byte \d+\)"
)
_TIME = "expected an RFC 3339 time with its zone, such as 2027-01-15T08:00:00Z"

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x82SNAPPY": "snappy",
    b"Obj\x01": "an Avro file",
    b"\xac\xed\x00\x05": "Java serialization",
}
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FRAME_BYTES = 5
"""Confluent's framing: 0x00 and a schema id of four bytes."""

_BEFORE_NAME, _BEFORE_VALUE = re.compile(r"[\s\[{,]*"), re.compile(r"[\s:]*")
_decode_major = msgspec.json.Decoder(Record).decode
_read_one = json.JSONDecoder(strict=False).raw_decode

_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Members = dict[str, msgspec.Raw]
"""Each member of an object by its name, as JSON."""


class _Named(msgspec.Struct, gc=False):
    tenant: Name
    user_id: Name
    idempotency_key: Name


class Identity(NamedTuple):
    """Whose record it is, as far as that can be read; each part is cut to MAX_PART_BYTES."""

    tenant: str | None
    user_id: str | None
    idempotency_key: str | None

    def notification_id(self, lane: Lane) -> str | None:
        """The id of the notification that was meant, where every part of it is whole."""
        try:
            named = msgspec.convert(self._asdict(), _Named)
            check_names(**msgspec.structs.asdict(named))
        except (msgspec.ValidationError, Malformed):
            return None
        return notification_id(named.tenant, lane, named.user_id, named.idempotency_key)


def is_newer(value: bytes) -> bool:
    """Whether a record that its reader cannot decode is of a schema that the reader does not know."""
    try:
        return _decode_major(value).schema > 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def detail_of(value: bytes, record: type[Record], error: Exception) -> str:
    """Why `value` is no `record`, given what its decoder raised (a MsgspecError, UnicodeDecodeError or RecursionError).

    Says the path of the field and what is expected of it, and the envelope that the value seems to be in.
    """
    hint, members = _unwrapped(value)
    if isinstance(error, msgspec.ValidationError):
        why = _why_invalid(str(error), record, members)
    elif isinstance(error, RecursionError):
        why = "is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        why = "is not UTF-8"
    elif not value:
        why = "is empty"
    else:
        why = str(error) if _QUOTES_NOTHING.fullmatch(str(error)) else "is not JSON"
    return f"{why}; {hint}" if hint else why


def identity_of(value: bytes | None) -> Identity:
    """Whose record `value` is, read as leniently as possible: out of an envelope, or up to where it breaks off."""
    _, members = _unwrapped(value or b"")
    return Identity(*(_part(bytes(members.get(name, b""))) for name in Identity._fields))


def _why_invalid(message: str, record: type[Record], members: Members) -> str:
    told = _TOLD.fullmatch(message)
    what, path = (told["what"], told["path"] or "$") if told else ("", "$")
    types = {f"$.{field.encode_name}": field.type for field in msgspec.structs.fields(record)}
    kind = types.get(path)
    if path == "$" and what.startswith("Object missing required field"):
        required = (field.encode_name for field in msgspec.structs.fields(record) if field.required)
        missing = [name for name in required if name not in members] or [what.split("`")[1]]
        return f"missing {', '.join(f'`$.{name}`' for name in missing)}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        why = f"expected one of {', '.join(word.value for word in kind)}"
    elif "datetime" in str(kind):
        why = _TIME
    elif _QUOTES_NOTHING.fullmatch(what):
        why = f"{what[0].lower()}{what[1:]}"
    else:
        why = "is not as the schema has it"
    return f"`{path}`: {why}"


def _unwrapped(value: bytes) -> tuple[str, Members]:
    """What is said of the envelope that a value seems to be in (nothing if in none), and the members of the record."""
    hint, plain = _decoded(value)
    start = plain.lstrip()[:1]
    if start == b"[":
        hint = hint or "is a JSON array: write one record for each of its items"
    elif start == b'"':
        hint = hint or "is JSON within a JSON string: encode it once"
    members = _members(_content(plain))
    inner, content = _envelope(members)
    return hint or inner, _members(content) if inner else members


def _decoded(value: bytes) -> tuple[str, bytes]:
    """A value as UTF-8, and what is said where it is not plain UTF-8."""
    if value.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark: write UTF-8 without one", value[3:]
    code = _BYTE_ORDER_MARKS.get(value[:2]) or _utf_16(value[:4])
    if code is not None:
        return "looks like UTF-16: write UTF-8", value.decode(code, errors="replace").lstrip("\ufeff").encode()
    if value[:1] == b"\x00" and len(value) >= _FRAME_BYTES:
        framing = "begins with 0x00 and a schema id, the framing of Confluent's serializers"
        return f"{framing}: write plain JSON", value[_FRAME_BYTES:]
    for magic, name in _MAGIC.items():
        if value.startswith(magic):
            return f"looks like {name}: write plain JSON (compression is the client's, compression.type)", b""
    return "", value


def _utf_16(start: bytes) -> str | None:
    """The UTF-16 that text without a byte order mark is in, by where the zeros of its first two characters lie."""
    zeros = [place for place, byte in enumerate(start) if byte == 0]
    return "utf-16-le" if zeros == [1, 3] else "utf-16-be" if zeros == [0, 2] else None


def _envelope(members: Members) -> tuple[str, bytes]:
    """What is said of an object that is a known envelope (nothing where it is none), and what is in it."""
    if "specversion" in members:
        name = "data_base64" if "data_base64" in members else "data"
        inside = _content(bytes(members.get(name, b"")))
        hint = f"is in a CloudEvents envelope: write its `{name}` alone"
        return hint, _from_base64(inside) if name == "data_base64" else inside
    if "payload" in members and "schema" in members:
        hint = "is in a Kafka Connect envelope: set value.converter.schemas.enable=false"
        return hint, _content(bytes(members["payload"]))
    if "after" in members and "op" in members:
        return "is a change event of Debezium: write its `after` alone", _content(bytes(members["after"]))
    return "", b""


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _content(written: bytes) -> bytes:
    """JSON, or what is in it where it is a string."""
    found = _value(written) if written.lstrip()[:1] == b'"' else None
    return found.encode(errors="replace") if isinstance(found, str) else written


def _value(written: bytes) -> object:
    try:
        return _read_one(written.decode(errors="replace").lstrip())[0]
    except (ValueError, RecursionError):
        return None


def _members(written: bytes) -> Members:
    """The members of a JSON object, each as it is written; of a broken one (or the first in an array) as far as it can
    be read, which takes its time and so ends after LOOKED_AT_BYTES."""
    try:
        return _read_members(written)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = written[:LOOKED_AT_BYTES].decode(errors="replace")
    found: Members = {}
    at = 0
    try:
        while True:
            name, at = _read_one(text, _after(_BEFORE_NAME, text, at))
            if not isinstance(name, str):
                return found
            start = _after(_BEFORE_VALUE, text, at)
            _, at = _read_one(text, start)
            found[name] = msgspec.Raw(text[start:at].encode(errors="replace"))
    except (ValueError, RecursionError):  # the end, or where it breaks off
        return found


def _after(gap: re.Pattern[str], text: str, at: int) -> int:
    skipped = gap.match(text, at)
    return skipped.end() if skipped else at


def _part(written: bytes) -> str | None:
    """A name, or a number in its place."""
    found = _value(written)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return writable(str(found))


def writable(text: str) -> str:
    """A text of any kind as one that can be written, and of MAX_PART_BYTES at most."""
    return text.encode(errors="replace")[:MAX_PART_BYTES].decode(errors="ignore")
