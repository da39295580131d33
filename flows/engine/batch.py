"""What a stage is run over: batches, each of one partition, and how they are cut. Pure."""

from collections.abc import Sequence

from agents.stage import Input
from flows.engine.partition import Partition


class Batch:
    """Records of one partition, as one hand-over brought them; `starts` is the offset they follow on."""

    __slots__ = ("part", "records", "starts")

    def __init__(self, part: Partition, records: Sequence[Input], starts: int) -> None:
        self.part = part
        self.records = records
        self.starts = starts


def cut(batches: Sequence[Batch], count: int) -> tuple[list[Batch], list[Batch]]:
    """Batches that hold the first `count` records, and those that hold the rest."""
    first: list[Batch] = []
    for index, batch in enumerate(batches):
        part, records, starts = batch.part, batch.records, batch.starts
        if len(records) > count:
            if count:
                first.append(Batch(part, records[:count], starts))
                starts = records[count - 1].offset + 1
            return first, [Batch(part, records[count:], starts), *batches[index + 1 :]]
        count -= len(records)
        first.append(batch)
    return first, []
