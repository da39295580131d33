"""Push to each of the user's devices, addressed by their registration tokens."""

from schemas.channel import Channel

CHANNEL = Channel(
    "push",
    rank=1,
    parts=("title", "body"),
    accepts=lambda address: 8 <= len(address) <= 4096,
    form="a registration token of 8 to 4096 characters",
    every=True,
)
