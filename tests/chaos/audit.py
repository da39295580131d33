"""Holds what a routing run left on its topics against the oracle: nothing lost, nothing let through twice."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import oracle
from harness import Rig
from traffic import TOPIC
from victims import ChaosError

CHANNELS = ("push", "sms", "email")
EXAMPLES = 5
_RETURNS = "returns.high"


class Audit:
    """Figures of one run, and whatever differs from what had to be."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.faults: dict[str, list[object]] = {}

    def expect_none(self, name: str, found: Iterator[object] | set[Any] | list[Any]) -> None:
        """Anything in `found` is a fault; the first few are kept as examples."""
        everything = list(found)
        self.figures[name] = len(everything)
        if everything:
            self.faults[name] = everything[:EXAMPLES]

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.faults


def audit(rig: Rig) -> Audit:
    """Read every topic of a drained routing run and compare."""
    people = {(p["tenant"], p["user_id"]): p for m in rig.read("preferences") for p in _as_asked(m.value())}
    inputs = ((m.partition(), m.offset(), m.value()) for m in rig.read(TOPIC))
    outputs, wanted = oracle.expect(inputs, people, datetime.now(UTC))
    result = Audit()
    result.figures["inputs"] = sum(len(places) for places in wanted)
    _deliveries(rig, result, outputs)
    _decisions(rig, result, wanted)
    return result


def _as_asked(value: bytes | None) -> list[dict[str, Any]]:
    """A preference as its producer wrote it: not its deletion, nor what the engine wrote in its place."""
    person = json.loads(value or b"null")
    return [person] if person is not None and "accepted_ms" not in person else []


def _deliveries(rig: Rig, result: Audit, wanted: set[oracle.Output]) -> None:
    ids: dict[tuple[str, str], set[str]] = {}
    written: Counter[tuple[str, str, str]] = Counter()
    found: set[oracle.Output] = set()
    for channel in CHANNELS:
        for message in rig.read(f"{channel}_notifications.high"):
            record = json.loads(message.value())
            found.add((record["user_id"], record["idempotency_key"], channel))
            ids.setdefault((record["user_id"], record["idempotency_key"]), set()).add(record["notification_id"])
            written[record["notification_id"], channel, record["address_hash"]] += 1
    result.figures["deliveries"] = len(written)
    result.figures["re_emitted"] = written.total() - len(written)
    result.expect_none("outputs_lost", wanted - found)
    result.expect_none("outputs_too_many", found - wanted)
    result.expect_none("requests_with_two_ids", (key for key, found_ids in ids.items() if len(found_ids) > 1))


def _decisions(rig: Rig, result: Audit, wanted: dict[tuple[oracle.Place, ...], list[str]]) -> None:
    last: dict[oracle.Place, str] = {}
    changed: dict[oracle.Place, set[str]] = {}
    returned: dict[oracle.Place, str] = {}
    held, ended, statuses = set(), set(), 0
    for message in rig.read("statuses"):
        status = json.loads(message.value())
        topic, partition, offset = status["position"].split("/")
        place, decision = (int(partition), int(offset)), _decision(status)
        statuses += 1
        if topic == TOPIC:
            if last.setdefault(place, decision) != decision:
                changed.setdefault(place, {last[place]}).add(decision)
            last[place] = decision
        elif topic == _RETURNS:
            returned[place] = decision
        if decision == "held":
            held.add(status["notification_id"])
        elif status.get("reason") == "unknown_user":
            ended.add(status["notification_id"])
    alone = {place for places in wanted if len(places) == 1 for place in places}
    result.figures["decisions"] = len(last) + len(returned)
    result.figures["decided_again"] = statuses - len(last) - len(returned)
    result.expect_none("undecided", (place for places in wanted for place in places if place not in last))
    result.expect_none("decided_otherwise", _differences(wanted, last))
    result.expect_none("decided_twice", (item for item in changed.items() if item[0] in alone))
    result.expect_none("decided_unasked", set(last) - {place for places in wanted for place in places})
    ends = {(number, offset) for (_, number), end in rig.ends([_RETURNS]).items() for offset in range(end)}
    result.expect_none("returned_undecided", ends - set(returned))
    result.expect_none("held_for_ever", held - ended)


def _decision(status: dict[str, Any]) -> str:
    step = status["step"]
    return f"routed:{status['deliveries']}" if step == "routed" else str(step)


def _differences(
    wanted: dict[tuple[oracle.Place, ...], list[str]], last: dict[oracle.Place, str]
) -> Iterator[tuple[object, ...]]:
    for places, decisions in wanted.items():
        found = [last[place] for place in places if place in last]
        if len(found) == len(places) and sorted(found) != decisions:
            yield places, f"expected {decisions}", f"found {found}"


def examples(result: Audit) -> str:
    """The faults, a few of each, for people."""
    return "\n".join(f"  {name}: {list(islice(found, EXAMPLES))}" for name, found in result.faults.items())


def report(run: Callable[[], Audit]) -> int:
    """Make a run and tell of it: examples of faults, the figures as JSON in the last line; returns the exit code."""
    try:
        result = run()
    except ChaosError as error:
        sys.stdout.write(json.dumps({"faults": ["aborted"], "why": str(error)}) + "\n")
        return 1
    if result.faults:
        sys.stdout.write(examples(result) + "\n")
    sys.stdout.write(json.dumps({**result.figures, "faults": sorted(result.faults)}) + "\n")
    return 1 if result.faults else 0
