"""DynamoDB is not there, or answers nothing."""

from collections.abc import Iterator
from random import Random

from fault import fault
from proxy import FAIR, Weather
from scene import Scene


@fault(37, of="store", lasts_s=(8.0, 20.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Deliveries go on; rows catch up afterwards and none is missing."""
    scene.servers.dynamodb.set(draw.choice((Weather(closed=True), Weather(mute=True))))
    yield
    scene.servers.dynamodb.set(Weather(closed=True))
    scene.servers.dynamodb.set(FAIR)
