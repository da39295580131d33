"""What a worker sends to its broker is lost, or what the broker sends to it."""

from collections.abc import Iterator
from random import Random

from fault import fault
from proxy import FAIR, Weather
from scene import Scene


@fault(17, of="broker", lasts_s=(8.0, 14.0), recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Its group gives its partitions to the other worker, and nothing it does afterwards counts."""
    with scene.hurting("one way", scene.high[1]):
        scene.servers.kafka.set(draw.choice((Weather(deaf=True), Weather(mute=True))))
        yield
        scene.servers.kafka.set(Weather(closed=True))
        scene.servers.kafka.set(FAIR)
