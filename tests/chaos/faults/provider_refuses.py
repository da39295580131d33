"""Providers refuse some recipients for good."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

RULES = {
    "twilio": [{"then": "twilio_21211", "rate": 0.03}, {"then": "twilio_21610", "rate": 0.03}],
    "sendgrid": [{"then": "sendgrid_400_address", "rate": 0.05}],
    "fcm": [{"then": "fcm_unregistered", "rate": 0.05}],
}


@fault(46, of="provider", lasts_s=(4.0, 10.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """They are not tried again, their addresses are suppressed where they are dead, and their ends say why."""
    with scene.servers.answering(draw, RULES):
        yield
