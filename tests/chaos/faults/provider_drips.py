"""Answers of one provider come a byte at a time."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

DRIP = {"then": "drip", "over_ms": 60_000, "rate": 0.3}
RULES = {"twilio": [DRIP], "sendgrid": [DRIP], "fcm": [DRIP]}


@fault(41, of="provider", lasts_s=(4.0, 8.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """A call has one deadline for all of its answer, however little comes in time."""
    with scene.servers.answering(draw, RULES):
        yield
