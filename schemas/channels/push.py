"""Push to each of the user's devices, addressed by their registration tokens."""

import re

from schemas.channel import Channel

_TOKEN = re.compile(r"[!-~]{8,4096}")
"""A token is opaque and its length undocumented: some 160 characters today, 4 KB at most as GCM's engineers had it."""

CHANNEL = Channel(
    "push",
    rank=1,
    parts=("title", "body"),
    accepts=lambda address: _TOKEN.fullmatch(address) is not None,
    form="a registration token of 8 to 4096 printable ASCII characters",
    every=True,
    one_line=("title",),
)
