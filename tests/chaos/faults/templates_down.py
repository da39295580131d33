"""The store of templates does not answer."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(48, of="machine", lasts_s=(35.0, 40.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """The last good version is served past the time at which a newer one is looked for."""
    scene.servers.stopped("s3", stop=True)
    yield
    scene.servers.stopped("s3", stop=False)
