"""A worker is gone while many of its calls are under way."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(2, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """No more calls are repeated than were in flight, only those that their class lets repeat, and each is flagged."""
    with scene.servers.slow_calls():
        scene.kill(draw.choice(scene.high))
    yield
