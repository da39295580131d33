"""Holds what a routing run left on its topics against the oracle: nothing lost, nothing let through twice.

There is no load client in such a run: what was accepted is what lies on the topics.
"""

import json
from collections.abc import Iterator

import sums
from accepted import Entry
from audit import Audit
from case import Case
from harness import Rig
from hurts import Hurts
from ledgers import CHANNELS, Ledgers, told, waiting
from traffic import TOPIC

_RETURNS = "returns.high"


def audit(rig: Rig) -> Audit:
    """Read every topic of a drained routing run and compare."""
    ledgers = Ledgers(
        accepted=[*_sent(rig, "preference", "preferences"), *_sent(rig, "request", TOPIC)],
        told=told(rig),
        ends=rig.ends([TOPIC, _RETURNS]),
        waiting=[found for channel in CHANNELS for found in waiting(rig, channel, "high")],
    )
    result, case = Audit(), Case.of(ledgers, Hurts([]))
    result.figures["inputs"] = sum(entry.kind == "request" for entry in ledgers.accepted)
    result.figures["deliveries"] = len(case.waiting)
    result.figures["re_emitted"] = len(ledgers.waiting) - len(case.waiting)
    sums.check_routing(case, result)
    return result


def _sent(rig: Rig, kind: str, topic: str) -> Iterator[Entry]:
    """What a producer wrote: not what the engine deletes or writes in its place. Preferences were there first."""
    for number, message in enumerate(rig.read(topic)):
        value, appended = message.value(), message.timestamp()[1] / 1000
        if kind == "preference" and (value is None or "accepted_ms" in json.loads(value)):
            continue
        at = 0.0 if kind == "preference" else appended
        key = (message.key() or b"").decode()
        yield Entry(kind, number, at, at, "ok", topic, message.partition(), message.offset(), at, key, value)
