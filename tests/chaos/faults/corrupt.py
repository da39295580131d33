"""What a worker keeps on its disk cannot be read any more."""

from collections.abc import Iterator
from random import Random

from fault import fault
from scene import Scene


@fault(23, of="worker", recovers_s=15.0, ends=True)
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Its tables are rebuilt from their logs; it does not end again and again."""
    worker = draw.choice([*scene.high, scene.low])
    scene.down(worker)
    stores = sorted(
        path for path in worker.state.rglob("*") if path.suffix in (".sst", ".log") or "MANIFEST" in path.name
    )
    for path in draw.sample(stores, min(6, len(stores))):
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
            file.write(b"\xff" * 64)
    scene.up(worker)
    scene.await_ready(worker, "works again on a store that was corrupt")
    yield
