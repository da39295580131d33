"""A worker stands still for longer than its group waits for it, then goes on."""

import time
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(6, of="worker", lasts_s=(8.0, 12.0), recovers_s=10.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Others take over; it sees how late it is and ends before it writes or calls anything."""
    worker = draw.choice([*scene.high, scene.low])
    with scene.frozen(worker):
        yield
    time.sleep(2.0)
    died = [death for death in scene.deaths if death["worker"] == worker.name]
    scene.expect(any("stood still" in death["why"] for death in died), f"{worker.name} ended when it went on")
