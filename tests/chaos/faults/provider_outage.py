"""One provider answers 503 to everything."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

RULES = {
    "twilio": [{"then": "twilio_20503"}],
    "sendgrid": [{"then": "sendgrid_503"}],
    "fcm": [{"then": "fcm_503"}],
}


@fault(38, of="provider", lasts_s=(4.0, 12.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Its deliveries wait in their tiers and end by their class; the other channels go on."""
    with scene.servers.answering(draw, RULES):
        yield
