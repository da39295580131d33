"""One provider takes half of what it is given and asks for a pause for the rest."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

RULES = {
    "twilio": [{"then": "status", "status": 429, "headers": {"Retry-After": "2"}, "rate": 0.5}],
    "sendgrid": [{"then": "sendgrid_429_epoch", "rate": 0.3}, {"then": "sendgrid_429_delta", "rate": 0.3}],
    "fcm": [{"then": "fcm_429_retry_after", "rate": 0.5}],
}


@fault(39, of="provider", lasts_s=(4.0, 12.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The pause is kept, nothing is tried hotly, and nothing is lost."""
    with scene.servers.answering(draw, RULES):
        yield
