"""Named faults that a rule may ask for: {"then": "twilio_20429"}. This table is all there is; --help prints it."""

from __future__ import annotations

import time
from typing import NamedTuple


class EpochIn(NamedTuple):
    """A header value that is a moment: Unix time, `seconds` after the answer is made."""

    seconds: float

    def __str__(self) -> str:
        return f"Unix time {self.seconds:g} s ahead"


Headers = dict[str, str | EpochIn]


class Preset(NamedTuple):
    """`code` and `words` as the provider's `fault` takes them; None is the usual for the status."""

    provider: str
    status: int
    code: str | None = None
    words: str | None = None
    headers: Headers = {}


_CREDITS = "Maximum credits exceeded"
_BLOCKED = "Your account has been temporarily blocked from sending mail due to repeated bad requests."
_APNS_KEY = "APNs certificate or web push auth key was invalid or missing"
_TOO_MANY = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0"}

PRESETS: dict[str, Preset] = {
    "twilio_20429": Preset("twilio", 429, "20429"),
    "twilio_21611": Preset("twilio", 429, "21611"),
    "twilio_20500": Preset("twilio", 500, "20500"),
    "twilio_20503": Preset("twilio", 503, "20503"),
    "twilio_20003": Preset("twilio", 401, "20003"),
    "twilio_20005": Preset("twilio", 403, "20005"),
    "twilio_21211": Preset("twilio", 400, "21211"),
    "twilio_21408": Preset("twilio", 400, "21408"),
    "twilio_21606": Preset("twilio", 400, "21606"),
    "twilio_21608": Preset("twilio", 400, "21608"),
    "twilio_21610": Preset("twilio", 400, "21610"),
    "twilio_21612": Preset("twilio", 400, "21612"),
    "twilio_21614": Preset("twilio", 400, "21614"),
    "twilio_21617": Preset("twilio", 400, "21617"),
    "twilio_21635": Preset("twilio", 400, "21635"),
    "twilio_21663": Preset("twilio", 400, "21663"),
    # Two of SendGrid's own pages give X-RateLimit-Reset two meanings: a Unix time, and seconds left.
    "sendgrid_429_epoch": Preset("sendgrid", 429, headers={**_TOO_MANY, "X-RateLimit-Reset": EpochIn(2)}),
    "sendgrid_429_delta": Preset("sendgrid", 429, headers={**_TOO_MANY, "X-RateLimit-Reset": "2"}),
    "sendgrid_429": Preset("sendgrid", 429),
    "sendgrid_400_address": Preset(
        "sendgrid", 400, "personalizations.0.to.0.email", "Does not contain a valid address."
    ),
    "sendgrid_401": Preset("sendgrid", 401),
    "sendgrid_401_credits": Preset("sendgrid", 401, words=_CREDITS),
    "sendgrid_403_sender": Preset("sendgrid", 403, "from"),
    "sendgrid_403_blocked": Preset("sendgrid", 403, words=_BLOCKED),
    "sendgrid_413": Preset("sendgrid", 413),
    "sendgrid_500": Preset("sendgrid", 500),
    "sendgrid_503": Preset("sendgrid", 503),
    "fcm_429": Preset("fcm", 429),
    "fcm_429_retry_after": Preset("fcm", 429, headers={"Retry-After": "10"}),
    "fcm_500": Preset("fcm", 500),
    "fcm_503": Preset("fcm", 503),
    "fcm_503_retry_after": Preset("fcm", 503, headers={"Retry-After": "10"}),
    "fcm_unregistered": Preset("fcm", 404, "UNREGISTERED"),
    "fcm_invalid_argument": Preset("fcm", 400, "INVALID_ARGUMENT"),
    "fcm_sender_id_mismatch": Preset("fcm", 403, "SENDER_ID_MISMATCH", "SenderId mismatch"),
    "fcm_permission_denied": Preset("fcm", 403),
    "fcm_unauthenticated": Preset("fcm", 401),
    "fcm_third_party_auth": Preset("fcm", 401, "THIRD_PARTY_AUTH_ERROR", _APNS_KEY),
    "oauth_invalid_grant": Preset("oauth", 400, "invalid_grant", "Invalid JWT Signature."),
    "oauth_503": Preset("oauth", 503),
}


def encode_headers(headers: Headers) -> bytes:
    lines = []
    for name, value in headers.items():
        text = str(int(time.time() + value.seconds)) if isinstance(value, EpochIn) else value
        lines.append(f"{name}: {text}\r\n")
    return "".join(lines).encode("latin-1")
