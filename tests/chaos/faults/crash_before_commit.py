"""A process ends when all is written and nothing of it is committed."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(10, of="worker", recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """All of it is written a second time and nothing called a second time."""
    scene.crash(draw.choice([*scene.high, scene.low]), "crash_before_commit", "before its commit")
    yield
