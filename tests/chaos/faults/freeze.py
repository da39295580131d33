"""A worker stands still for longer than its group waits for it, then goes on."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(6, of="worker", lasts_s=(11.0, 13.0), recovers_s=10.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Others take over; it sees how late it is and ends before it writes or calls anything."""
    worker = scene.pick(draw, *scene.high, scene.low)
    frozen = worker.pid
    with scene.frozen(worker):
        yield
    scene.await_ready(worker, "ended when it went on, and was started again", was=frozen)
