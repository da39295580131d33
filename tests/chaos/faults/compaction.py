"""Compacted topics are compacted as soon as may be, while a worker reads them from their start."""

from collections.abc import Iterator
from random import Random

from fault import fault
from harness import eventually
from scene import Scene

CLEANED_S = 30.0
"""The cleaner looks every 15 s for what it may clean."""
SOON = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "0"}


@fault(21, of="broker", lasts_s=(20.0, 25.0), recovers_s=None)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Tables that are read meanwhile say the same as before."""
    with scene.servers.configured(("preferences", "suppressions"), SOON):
        yield
        cleaned = eventually(lambda: scene.servers.compacted("preferences"), CLEANED_S)
        scene.expect(cleaned, "the cleaner went over the preferences")
        scene.kill(draw.choice([*scene.high, scene.low]), wipe=True)
