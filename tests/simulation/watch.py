"""What must hold while a seed is played: a partition that wants records gets them, whatever anybody else waits for."""

from collections.abc import Iterable, Iterator

from flows.engine.partition import Partition
from tests.simulation.broker import Broker
from tests.simulation.worker import Worker

STARVED_S = 8.0
"""How long what a partition wants may lie in its log unread: fetches here lie about for a second at worst."""


class Watch:
    """Looks at every engine about once a second, and remembers since when something has stood still."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._since: dict[object, float] = {}

    def look(self, now: float, workers: Iterable[Worker]) -> list[str]:
        """What has stood still for too long."""
        still = {subject: (what, limit) for subject, what, limit in self._still(workers)}
        self._since = {subject: self._since.get(subject, now) for subject in still}
        return [what for subject, (what, limit) in still.items() if now - self._since[subject] > limit]

    def _still(self, workers: Iterable[Worker]) -> Iterator[tuple[object, str, float]]:
        for worker in workers:
            if worker.life is None or not worker.life.moves:
                continue
            for engine in worker.engines:
                name = f"{worker.name} {engine.flow.name}"
                for part in engine.tenure.parts.values() if engine.tenure.ready else ():
                    if self._waits(part):
                        which = f"starved: {name} does not read {part.topic}/{part.number} at {part.next}"
                        yield (id(part), part.next), which, STARVED_S

    def _waits(self, part: Partition) -> bool:
        return part.reading and self._broker.logs[part.topic, part.number].read_to > part.next
