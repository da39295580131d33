"""The scope of a key: how ids, table keys and partitions follow from a notification.

`notification_id` is UUIDv5 over (tenant, lane, user_id, idempotency_key); what a table knows an entry by is such an id
or begins with (tenant, user_id), and its key says in which partition that holds; the partition of a record's key is
Kafka's murmur2, as `partitioner=murmur2_random` computes it.
"""

import ctypes
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from unicodedata import normalize

from schemas.errors import Malformed
from schemas.records import MAX_NAME_BYTES
from schemas.vocabulary import Lane, Reason

NAMESPACE = bytes.fromhex("6f1d3c2e8a5b5d0e9c47b1f2a3d4e5f6")
"""The UUID namespace of notification ids; it never changes."""

HOME_BYTES = 2
"""How many bytes of a table key say the partition."""

SEPARATOR = "\x1f"
"""Stands between the parts of a key; no name that goes into one may hold it."""
_NAMED = sha1(NAMESPACE, usedforsecurity=False)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def check_names(**names: str) -> None:
    """Raise Malformed, with the field, for a name that holds the separator or is too long in UTF-8. The reader of JSON
    has counted its characters already, so one of ASCII is short enough."""
    for field, name in names.items():
        if SEPARATOR in name:
            raise Malformed(Reason.INVALID, f"`$.{field}`: holds the separator of keys, U+001F")
        if not name.isascii() and len(name.encode()) > MAX_NAME_BYTES:
            raise Malformed(Reason.TOO_LARGE, f"`$.{field}`: expected {MAX_NAME_BYTES} bytes of UTF-8 at most")


def notification_id(tenant: str, lane: Lane, user_id: str, idempotency_key: str) -> str:
    """The id of a notification (RFC 9562 UUIDv5, text form): the same request always has the same id."""
    named = _NAMED.copy()
    named.update(SEPARATOR.join((tenant, lane, user_id, idempotency_key)).encode())
    digest = named.hexdigest()
    variant = _VARIANT[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def at(partition: int, name: bytes) -> bytes:
    """The table key of `name` in a partition: an entry lives with the records it follows from, and moves with them."""
    return partition.to_bytes(HOME_BYTES, "big") + name


def user_key(tenant: str, user_id: str) -> bytes:
    """What the entry of a user is known by, and everything that is local to a user."""
    return f"{tenant}{SEPARATOR}{user_id}".encode()


def preference_row_key(tenant: str, user_id: str) -> str:
    """What a user's rows in the store are known by: `tenant/user_id`. The first `/` ends the tenant, whose own `/` and
    `%` are percent-encoded: the key is unambiguous, and no longer than 1,025 bytes (DynamoDB takes 2,048)."""
    return f"{tenant.replace('%', '%25').replace('/', '%2F')}/{user_id}"


def delivery_key(notification: str, channel: str, address_hash: str) -> bytes:
    """What one delivery is known by: (notification_id, channel, address hash; nothing where there is but one)."""
    return f"{notification}{SEPARATOR}{channel}{SEPARATOR}{address_hash}".encode()


@lru_cache(4096)
def category_key(category: str) -> str:
    """What a category is compared by: without case, surrounding white space and compatibility forms (Unicode NFKC).

    An opt-out from `Orders` must hold for `orders`. The key of a key is itself.
    """
    return normalize("NFKC", normalize("NFKC", category).casefold()).strip()


def covers(opt_outs: Iterable[str], channel: str, category: str) -> bool:
    """Whether one of a user's opt-outs, each `channel/category` where either may be `*`, holds for a category."""
    out = set(map(category_key, opt_outs))  # what an older release stored is as its producer wrote it
    category = category_key(category)
    return not out.isdisjoint((f"{channel}/{category}", f"{channel}/*", f"*/{category}", "*/*"))


def address_suppression(tenant: str, address_hash: str, scope: str) -> bytes:
    """The suppression key of an address within a scope (a channel, or `*`)."""
    return SEPARATOR.join(("a", tenant, address_hash, scope)).encode()


def user_suppression(tenant: str, user_id: str) -> bytes:
    """The suppression key of a user's opt-outs."""
    return SEPARATOR.join(("u", tenant, user_id)).encode()


def _murmur2() -> Callable[[None, bytes, int, int, None, None], int]:
    """Kafka's partitioner, compiled: the public `rd_kafka_msg_partitioner_murmur2` of the bundled librdkafka."""
    client = find_spec("confluent_kafka")
    bundled = Path(client.origin).parent.parent / "confluent_kafka.libs" if client and client.origin else Path()
    found = sorted(bundled.glob("librdkafka*.so*"))
    library = ctypes.CDLL(str(found[0]) if found else "librdkafka.so.1")
    function = library.rd_kafka_msg_partitioner_murmur2
    function.restype = ctypes.c_int32
    pointer = ctypes.c_void_p
    function.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, pointer, pointer]
    found_partition: Callable[[None, bytes, int, int, None, None], int] = function
    return found_partition


murmur2: Callable[[None, bytes, int, int, None, None], int] = _murmur2()
"""(None, key, its length, partition count, None, None) -> its partition, as C takes it: the form for hot loops."""


def partition_of(key: bytes, count: int) -> int:
    """The partition of `count` in which every client with `murmur2` or `murmur2_random` puts `key`."""
    return murmur2(None, key, len(key), count, None, None)
