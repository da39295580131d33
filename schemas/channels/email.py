"""Email, addressed by a mailbox."""

import re

from schemas.channel import Channel

CHANNEL = Channel(
    "email",
    rank=3,
    parts=("subject", "body"),
    accepts=lambda address: len(address) <= 254 and bool(re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address)),
    form="a mailbox, such as ada@example.org",
)
