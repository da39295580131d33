"""A worker can open nothing more: no file and no connection."""

import resource
from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(48, of="machine", lasts_s=(4.0, 8.0), recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """It goes on with what it has open, or ends and is started again; nothing is lost."""
    worker = scene.pick(draw, *scene.high, scene.low, scene.record)
    pid, usual = worker.pid, resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (32, usual[1]))
    with scene.hurting("no files", worker):
        yield
    if worker.running and worker.pid == pid:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
