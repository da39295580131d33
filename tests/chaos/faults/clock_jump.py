"""The clock of one worker jumps ahead and back."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(47, of="machine", lasts_s=(10.0, 12.0), recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Buckets, retries and windows do not misfire; what expires by a clock that is ahead says so; nothing is lost."""
    worker = draw.choice([*scene.high, scene.low])
    scene.restart(worker, plants=("clock_jump",))
    with scene.hurting("clock", worker):
        yield
    scene.restart(worker)
