"""The only broker is killed and comes back."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(13, of="broker", lasts_s=(1.0, 6.0), recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Producers and workers wait and go on; nothing that was acknowledged is lost."""
    with scene.hurting("broker"):
        scene.rig.stack.kill("kafka")
        yield
        scene.servers.revive_broker()
