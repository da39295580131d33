"""The broker takes connections and answers nothing."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(15, of="broker", lasts_s=(5.0, 20.0), recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Requests run out and are sent again under their numbers: nothing is written twice and nothing is lost."""
    with scene.hurting("broker"):
        scene.servers.stopped("kafka", stop=True)
        yield
        scene.servers.stopped("kafka", stop=False)
