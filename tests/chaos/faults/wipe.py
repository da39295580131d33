"""A worker is gone with its machine and all that it kept there."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(1, 23, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The next one under its id restores its tables from their logs and goes on where it was."""
    scene.kill(draw.choice([*scene.high, scene.low, scene.record]), wipe=True)
    yield
