"""Email, addressed by a mailbox."""

import re

from schemas.channel import Channel

MOST = 254
"""RFC 5321, 4.5.3.1.3: a path is 256 octets at most, with its angle brackets."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
"""RFC 5322, 3.2.3: what stands between the dots of a local part. Quoted ones are refused: few servers take them."""
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""RFC 1035, 2.3.1: a part of a domain, up to 63 octets. Domains of other scripts are written as `xn--` (RFC 5890)."""
_MAILBOX = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL}")


def _normalise(address: str) -> str:
    """Domains have no case; a local part may have (RFC 5321, 2.4)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


CHANNEL = Channel(
    "email",
    rank=3,
    parts=("subject", "body"),
    accepts=lambda address: len(address) <= MOST and _MAILBOX.fullmatch(address) is not None,
    form="a mailbox in ASCII, such as ada@example.org",
    normalise=_normalise,
    one_line=("subject",),
)
