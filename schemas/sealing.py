"""How addresses, params and broken bodies are kept unreadable in everything we write.

A sealed value is `key id (1 byte) | nonce (12) | AES-GCM ciphertext and tag (16)`; the context is authenticated, so a
value cannot be moved to another user or notification. Look-ups use an HMAC of the address, digests are keyed.
"""

import base64
import binascii
import hashlib
import hmac
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Misconfigured, Unsealable

_KEY_BYTES = 32
_NONCE_BYTES = 12
_COUNT_BYTES = 5
"""Room for 10^12 seals of one process: more than three years at 10,000 a second."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one key ring from another and opens nothing: 8 bytes of an HMAC under each key, in hex."""

    index_key: str
    keys: Mapping[int, str]


class KeyRing:
    """Keys by id. The highest id seals; every id opens. `index_key` keeps look-ups stable when keys rotate."""

    def __init__(
        self, keys: Mapping[int, bytes], index_key: bytes, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        if not keys or any(len(key) != _KEY_BYTES or not 0 < number < 256 for number, key in keys.items()):
            raise Misconfigured("CARILLON_KEYS needs at least one key: `id:base64`, ids 1 to 255, keys of 32 bytes")
        if len(index_key) < _KEY_BYTES:
            raise Misconfigured("CARILLON_INDEX_KEY needs at least 32 bytes in base64")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        current = max(keys)
        self._encrypt = self._ciphers[current].encrypt
        self._prefix = bytes([current])
        self._index_key = index_key
        self.fingerprint = Fingerprint(_tag(index_key), {number: _tag(key) for number, key in keys.items()})
        self._digest = hashlib.blake2b(digest_size=8, key=hmac.digest(index_key, b"digest", "sha256"))
        self._process_nonce = randomness(_NONCE_BYTES - _COUNT_BYTES)
        self._count = itertools.count()

    @classmethod
    def from_text(cls, keys: str, index_key: str) -> "KeyRing":
        """Read `1:base64,2:base64` and a base64 index key. Raises Misconfigured, never with a key in its text."""
        try:
            pairs = [item.strip().split(":", 1) for item in keys.split(",") if item.strip()]
            ring = {int(number): base64.b64decode(key, validate=True) for number, key in pairs}
            if len(ring) < len(pairs):
                raise Misconfigured("CARILLON_KEYS has two keys under one id: each key needs an id of its own")
            return cls(ring, base64.b64decode(index_key.strip(), validate=True))
        except (ValueError, binascii.Error):
            forms = "CARILLON_KEYS must read `id:base64[,id:base64]` and CARILLON_INDEX_KEY base64"
            raise Misconfigured(forms) from None

    def __repr__(self) -> str:
        return f"KeyRing(ids={sorted(self._ciphers)})"

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Seal `plain` for `context`. Nonces are random bytes of this process and a counter: none comes twice."""
        nonce = self._process_nonce + next(self._count).to_bytes(_COUNT_BYTES, "big")
        return self._prefix + nonce + self._encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Open what `seal` made for the same `context`. Raises Unsealable."""
        cipher = self._ciphers.get(sealed[0]) if sealed else None
        if cipher is None:
            raise Unsealable(f"no key {sealed[0] if sealed else 'id'} in the ring: add it to CARILLON_KEYS")
        try:
            return cipher.decrypt(sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], context)
        except (InvalidTag, ValueError):
            raise Unsealable("a sealed value does not fit its record: it was altered or moved") from None

    def address_hash(self, tenant: str, address: str) -> str:
        """What an address is looked up by: 16 bytes of HMAC-SHA256 in hex."""
        return hmac.digest(self._index_key, f"{tenant}\x1f{address}".encode(), "sha256")[:16].hex()

    def digest(self, request: bytes) -> bytes:
        """8 keyed bytes of a request, enough to tell a repeat from a conflict under one idempotency key."""
        digest = self._digest.copy()
        digest.update(request)
        return digest.digest()


def _tag(key: bytes) -> str:
    return hmac.digest(key, b"carillon key fingerprint", "sha256")[:8].hex()
