"""A worker of either lane is gone at once."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(1, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Nothing is lost, its partitions are worked again within 10 s, and what it wrote twice is absorbed."""
    scene.kill(draw.choice([*scene.high, scene.low, scene.record]))
    yield
