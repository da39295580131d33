"""The event loop of a worker is blocked for good."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(11, of="worker", recovers_s=45.0, lasts_s=(40.0, 40.0), ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The watchdog tells where it is stuck and ends it after 30 s; nothing is lost."""
    worker = draw.choice([*scene.high, scene.low])
    before = len(scene.deaths)
    scene.kill(worker, plants=("stuck_loop",))
    with scene.hurting("stuck loop", worker):  # what it had under way is lost long before it ends
        yield
    why = [death["why"] for death in scene.deaths[before:] if death["worker"] == worker.name]
    scene.expect(any("event loop is stuck" in told for told in why), f"the watchdog ended {worker.name}")
