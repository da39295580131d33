"""Every stage raises on every twentieth record of a partition, the first time that it sees it."""

from collections.abc import Sequence
from typing import Any

from agents.stage import Input, Stage
from flows.engine.guarded import Guarded

EVERY = 20


def plant() -> None:
    """Wrap the stages of each flow."""
    make = Guarded.__init__

    def init(self: Guarded, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        self._stages = {topic: _touchy(stage) for topic, stage in self._stages.items()}

    Guarded.__init__ = init  # type: ignore[method-assign]


def _touchy(stage: Stage) -> Stage:
    seen = set()

    def run(batch: Sequence[Input], tables: Any, outbox: Any) -> Any:
        new = {(record.topic, record.partition, record.offset) for record in batch if record.offset % EVERY == 0} - seen
        seen.update(new)
        if new:
            raise ValueError("planted")
        return stage(batch, tables, outbox)

    return run
