"""A worker is ended in order while calls are slow."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(3, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What is under way is drained, or handed on flagged; nothing is lost and nothing of it is called twice."""
    with scene.servers.slow_calls():
        scene.restart(draw.choice(scene.high))
    yield
