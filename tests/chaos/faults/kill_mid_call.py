"""A worker is gone while many of its calls are under way."""

import time
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

CALL_MS = 200


@fault(2, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """No more calls are repeated than were in flight, only those that their class lets repeat, and each is flagged."""
    scene.behave("*", {"latency_ms": CALL_MS})
    time.sleep(2.0)
    scene.kill(draw.choice(scene.high))
    scene.usual()
    yield
