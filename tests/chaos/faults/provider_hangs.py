"""Some calls to one provider are read and never answered."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

RULES = {
    "twilio": [{"then": "hang", "rate": 0.15}, {"then": "accept_then_hang", "rate": 0.15}],
    "sendgrid": [{"then": "hang", "rate": 0.15}, {"then": "accept_then_hang", "rate": 0.15}],
    "fcm": [{"then": "hang", "rate": 0.15}, {"then": "accept_then_hang", "rate": 0.15}],
}


@fault(40, of="provider", lasts_s=(4.0, 8.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Each call ends by its own deadline as unknown and holds one slot at most until then; the others go on."""
    with scene.servers.answering(draw, RULES):
        yield
