"""A stage raises, now and then, on a record that it takes the second time."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(4, of="worker", lasts_s=(6.0, 10.0), recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The batch is run again record by record; nothing is acknowledged that was not worked, and the flow goes on."""
    worker = draw.choice([*scene.high, scene.low])
    scene.restart(worker, plants=("raise_in_stage",))
    planted = worker.pid
    with scene.hurting("raise", worker):
        yield
    if worker.running and worker.pid == planted:
        scene.expect(worker.told("stage_raised") > 0, f"a stage of {worker.name} raised")
    scene.restart(worker)
