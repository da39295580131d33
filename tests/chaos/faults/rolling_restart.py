"""Every worker is ended in order and started again, one after the other."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(7, of="worker", recovers_s=3.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Nothing is lost or repeated, and calls are as prompt as before soon after each step."""
    for worker in draw.sample(scene.workers, len(scene.workers)):
        scene.restart(worker)
    yield
