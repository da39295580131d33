"""The channels, one file each; `CHANNELS` is what discovery found, in the default order of `best`."""

import sys

from schemas.channel import Channel
from schemas.discovery import modules

CHANNELS: dict[str, Channel] = {
    found.CHANNEL.name: found.CHANNEL
    for found in sorted(modules(sys.modules[__name__]), key=lambda module: int(module.CHANNEL.rank))
}
