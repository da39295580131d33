"""Whether everything is accounted for: read from the topics, the providers' ledger and the store, none of them asked
what it thinks."""

from collections import Counter

import msgspec
from lane import Lanes
from rig import Rig

from schemas.records import Status
from schemas.topics import STATUSES, notifications
from schemas.vocabulary import Lane, Step

_decode = msgspec.json.Decoder(Status).decode
_ENDS = {Step.SENT, Step.UNKNOWN, Step.SUPPRESSED, Step.EXPIRED, Step.DEAD}


class Sums:
    """Inputs against decisions, deliveries against ends, sent against calls, notifications against rows."""

    def __init__(self, rig: Rig, lanes: Lanes) -> None:
        decided: dict[str, Status] = {}
        ended: dict[tuple[str, str, str, int], Step] = {}
        ids: set[str] = set()
        for message in rig.read(STATUSES.name):
            status = _decode(message.value() or b"")
            ids.add(status.notification_id)
            if status.channel is None:
                decided[status.position] = status
            elif status.step in _ENDS:
                ended[status.notification_id, status.channel, status.address_hash or "", status.round] = status.step
        self.inputs = sum(rig.end(notifications(lane).name) for lane in Lane)
        self.decisions = len(decided)
        self.held = sum(status.step is Step.HELD for status in decided.values())
        self.deliveries = sum(status.deliveries for status in decided.values())
        self.ends = Counter(ended.values())
        self.accepted = sum(bool(row["accepted"]) for row in lanes.ledger())
        self.notifications = len(ids)
        self.rows = lanes.count_rows()

    @property
    def close(self) -> bool:
        """Whether all four close."""
        return (
            self.inputs == self.decisions - self.held
            and self.deliveries == self.ends.total()
            and self.ends[Step.SENT] == self.accepted
            and self.notifications == self.rows
        )

    def __str__(self) -> str:
        ends = ", ".join(f"{step.value} {count}" for step, count in self.ends.items())
        return (
            f"{self.inputs} inputs, {self.decisions} decisions; {self.deliveries} deliveries, {self.ends.total()} ends "
            f"({ends}); {self.accepted} calls accepted; {self.notifications} notifications, {self.rows} rows"
        )
