"""Google's OAuth token endpoint: POST /oauth/token, the JWT bearer grant (RFC 7523) of a service account.

The assertion's shape and times are checked, its signature is not: the sandbox knows nobody's public key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import time
from http import HTTPStatus
from typing import Any

import orjson

from deploy.sandbox.exchange import Answer, Message, Request, parse_form

_GRANT = b"urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
_LIFETIME_MAX = 3600  # seconds between iat and exp, Google's rule
_SKEW = 300  # seconds a clock may be off
_SEAL = b"carillon sandbox"  # no secret: it only tells our tokens from others
_CACHED = 1024
_PARTS = 3  # of a signed JWT


class Tokens:
    """Access tokens that carry their own expiry and seal, so that they outlive a restart of the sandbox."""

    def __init__(self, lifetime: float) -> None:
        """`lifetime` in seconds."""
        self.lifetime = lifetime
        self._known: dict[bytes, float] = {}

    def issue(self) -> str:
        expiry = int((time.time() + self.lifetime) * 1000)
        text = f"ya29.{expiry:x}.{os.urandom(12).hex()}"
        return f"{text}.{_seal(text.encode())}"

    def good(self, token: bytes) -> bool:
        expiry = self._known.get(token)
        if expiry is None:
            expiry = _expiry(token)
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[token] = expiry
        return time.time() < expiry


def _seal(text: bytes) -> str:
    return hmac.digest(_SEAL, text, "sha256").hex()


def _expiry(token: bytes) -> float:
    """When a token of ours ends, in seconds since the epoch; 0 for any other."""
    text, _, seal = token.rpartition(b".")
    if not hmac.compare_digest(seal, _seal(text).encode()):
        return 0.0
    return int(text.split(b".")[1], 16) / 1000


class OAuth:
    name = "oauth"
    channel = None

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def read(self, request: Request) -> Message:
        if request.path != b"/oauth/token":
            return Message(self.fault(404))
        if request.method != b"POST":
            return Message(self.fault(405))
        form = parse_form(request.body)
        if form.get(b"grant_type") != _GRANT:
            return Message(self.fault(400, "unsupported_grant_type", "Invalid grant_type"))
        if refusal := _check(form.get(b"assertion", b"")):
            return Message(self.fault(400, *refusal))
        token = self._tokens.issue()
        grant = {"access_token": token, "expires_in": int(self._tokens.lifetime), "token_type": "Bearer"}
        return Message(Answer(200, orjson.dumps(grant)), "token")

    def fault(self, status: int, code: str | None = None, message: str | None = None) -> Answer:
        error = code or ("invalid_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_failure")
        body = {"error": error, "error_description": message or "The token request failed."}
        return Answer(status, orjson.dumps(body))


def _check(assertion: bytes) -> tuple[str, str] | None:
    """The (error, description) of an assertion that Google would refuse."""
    parts = assertion.split(b".")
    if len(parts) != _PARTS or not parts[-1]:
        return "invalid_grant", "Invalid JWT: an assertion has three parts, header.claims.signature."
    header, claims = _part(parts[0]), _part(parts[1])
    if header.get("alg") != "RS256":
        return "invalid_grant", "Invalid JWT: alg must be RS256."
    if not all(isinstance(claims.get(name), str) and claims[name] for name in ("iss", "aud")):
        return "invalid_grant", "Invalid JWT: iss and aud are required."
    if not _timely(claims.get("iat"), claims.get("exp"), time.time()):
        return "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes), iat and exp about now."
    if not _SCOPES.intersection(str(claims.get("scope", "")).split()):
        return "invalid_scope", "Invalid OAuth scope or ID token audience provided."
    return None


def _timely(issued: Any, expires: Any, now: float) -> bool:
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return False
    return expires >= now - _SKEW and issued <= now + _SKEW and expires - issued <= _LIFETIME_MAX


def _part(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
