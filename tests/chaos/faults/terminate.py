"""A worker is ended in order while calls are slow."""

import time
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

CALL_MS = 200


@fault(3, of="worker", recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What is under way is drained, or handed on flagged; nothing is lost and nothing of it is called twice."""
    scene.behave("*", {"latency_ms": CALL_MS})
    time.sleep(2.0)
    scene.restart(draw.choice(scene.high))
    scene.usual()
    yield
