"""A process ends when what it noted is durable and what follows from it is not."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(9, of="worker", recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The record comes again, is known as its own replay, and what follows from it is written."""
    scene.crash(draw.choice([*scene.high, scene.low]), "crash_before_forward", "between note and forward")
    yield
