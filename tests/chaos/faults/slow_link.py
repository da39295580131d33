"""The way between a worker and its broker is slow and breaks now and then."""

from collections.abc import Iterator
from random import Random

from fault import fault
from proxy import FAIR, Weather
from scene import Scene


@fault(16, of="broker", lasts_s=(6.0, 12.0), recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Its notifications take longer; nothing is lost."""
    with scene.hurting("slow link", scene.high[1]):
        scene.servers.kafka.set(Weather(delay_s=0.3, reset=0.01))
        yield
        scene.servers.kafka.set(FAIR)
