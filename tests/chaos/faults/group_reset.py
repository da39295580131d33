"""A group's committed offsets are gone."""

from collections.abc import Iterator
from random import Random

from fault import fault
from harness import eventually
from scene import Scene


@fault(20, of="broker", recovers_s=None, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Everything is read once more, and nothing of it is called once more."""
    flow = draw.choice(("route.high", "deliver.sms.high", "deliver.email.high", "deliver.push.high"))
    with scene.hurting("group reset", in_order=True):
        for worker in scene.high:
            scene.end(worker)
        scene.expect(
            eventually(lambda: scene.servers.forget_group(flow), 30.0), f"the offsets of {flow} could be deleted"
        )
        for worker in scene.high:
            scene.up(worker)
    yield
