"""A further worker joins and dies, again and again."""

import time
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

EVERY_S = 3.0


@fault(8, of="worker", recovers_s=15.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The others go on between rebalances; nothing is stuck for good and nothing is lost."""
    flow = draw.choice(("route.high", "deliver.sms.high", "deliver.email.high"))
    for _ in range(4):
        with scene.guest(flow):
            time.sleep(EVERY_S)
    yield
