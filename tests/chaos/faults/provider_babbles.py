"""One provider answers with what is no answer: pages, halves, far too much."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

BABBLE = [
    {"then": "html_502", "rate": 0.2},
    {"then": "status", "status": 200, "body": "<html>welcome</html>", "accepted": True, "rate": 0.2},
    {"then": "status", "status": 200, "body": "x" * 1_000_000, "accepted": True, "rate": 0.1},
    {"then": "truncated", "rate": 0.2},
]
RULES = {"twilio": BABBLE, "sendgrid": BABBLE, "fcm": BABBLE}


@fault(42, of="provider", lasts_s=(4.0, 8.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What may have been sent is unknown, what was surely not is tried again, and no answer takes memory."""
    with scene.servers.answering(draw, RULES):
        yield
