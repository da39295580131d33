"""The broker's disk is full; then there is room again."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random

from fault import fault
from harness import eventually
from scene import Scene


@fault(18, of="broker", lasts_s=(3.0, 6.0), recovers_s=15.0, ends=True, small_disk=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Nothing is taken that cannot be kept; with room again all goes on without a hand at the data."""
    with scene.hurting("broker"):
        filler = scene.servers.disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        scene.expect(eventually(scene.servers.broker_gone, 30.0), "the broker stops on a full disk")
        yield
        filler.unlink()
        scene.servers.revive_broker()
