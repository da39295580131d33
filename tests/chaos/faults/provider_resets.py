"""Connections to one provider are reset before a request is read, after it, or after it was accepted."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene

RESETS = [
    {"then": "reset_before_read", "rate": 0.15},
    {"then": "reset_after_read", "rate": 0.15},
    {"then": "accept_then_reset", "rate": 0.15},
]
RULES = {"twilio": RESETS, "sendgrid": RESETS, "fcm": RESETS}


@fault(43, of="provider", lasts_s=(4.0, 10.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What was never read is tried again; what was is unknown, and repeated only where its class allows it."""
    # What was never read is in no ledger of calls, and cannot be told from what was.
    with scene.servers.answering(draw, RULES), scene.hurting("resets"):
        yield
