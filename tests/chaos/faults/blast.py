"""Ten times as much comes for some seconds, half of it to one user."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

GROWTH_MIB = 150


@fault(12, 27, of="machine", lasts_s=(8.0, 8.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What waits, waits in Kafka: no worker grows with it, and nothing is lost."""
    before = {worker.name: scene.resident[worker.name][-1] for worker in scene.workers}
    scene.load.burst()
    yield
    for name, mib in before.items():
        grown = max(scene.resident[name][-8:]) - mib
        scene.expect(grown < GROWTH_MIB, f"{name} does not grow with the backlog: it grew by {grown} MiB")
