"""What everybody has committed goes from the front of the input, as retention takes it."""

from collections.abc import Iterator
from random import Random

from confluent_kafka import TopicPartition
from fault import fault
from scene import Scene


@fault(19, of="broker", recovers_s=15.0)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Who was away goes on at what it had committed, never at the end of the log."""
    worker = draw.choice(scene.high)
    scene.down(worker)
    topic = "notifications.high"
    committed = scene.rig.committed("route.high", [topic]).items()
    places = [TopicPartition(*place, offset) for place, offset in committed if offset > 0]
    for future in scene.servers.admin.delete_records(places).values():
        future.result(10)
    scene.up(worker)
    yield
