"""A few calls never end, those behind them do; then the worker is killed."""

import time
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(5, of="worker", lasts_s=(1.0, 2.0), recovers_s=10.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """What is fast goes on, no commit passes what is slow, and that is found unknown afterwards."""
    scene.servers.behave(draw.choice(("twilio", "sendgrid", "fcm")), {"then": "accept_then_hang", "times": 3})
    time.sleep(2.0)
    yield
    scene.kill(draw.choice(scene.high))
    scene.servers.usual()
