"""A small flow for the engine's tests, run as a process of its own: `python -m tests.flows.engine.toy`.

What becomes of a record is written in the record: `{"id": 7, "do": "raise"}`. Each one that is worked adds one to its
key's tally and is told on the `out` topic, in order of its partition; `fresh` is false where the tally shows that it
was worked before.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from agents.stage import Input, Later, Outbox, Tables
from flows import logs
from flows.clock import now_ms
from flows.engine.flow import WAITS, Flow, Outside
from flows.engine.frontier import Frontier
from flows.engine.host.process import Host, run
from flows.engine.host.watchdog import Watchdog
from flows.engine.producer import FlowProducer
from flows.engine.seams import Thread
from flows.engine.tenure import COMMIT_S, Tenure
from schemas.keys import at
from schemas.sealing import KeyRing
from schemas.topics import Cleanup, Topic, changelog
from schemas.vocabulary import Lane
from tables.table import Fold, Kind, Table

RING = KeyRing({1: bytes(32)}, bytes(32))
TALLY = Table("tally", Kind.CHANGELOGGED, keep_s=3600)
_ENTRY = Struct(">qq")
"""A tally: the offset it was last raised at, and its count."""


class Names(NamedTuple):
    """The topics of a toy."""

    asked: Topic
    side: Topic
    out: Topic
    dead: Topic
    log: Topic


def names(toy: str) -> Names:
    """The topics of the toy of this name."""
    return Names(
        Topic(f"{toy}.in", "key", None),
        Topic(f"{toy}.side", "key", None, retention_s=None, cleanup=Cleanup.COMPACT),
        Topic(f"{toy}.out", "key", None),
        Topic(f"{toy}.dead", "position", None),
        changelog(toy, TALLY.name, 3600),
    )


def read_tally(entry: bytes | None) -> tuple[int, int]:
    """(offset, count) of an entry."""
    offset, count = _ENTRY.unpack(entry) if entry is not None else (-1, 0)
    return offset, count


class Work:
    """The stages and the calls of one toy."""

    def __init__(self, toy: str, worker: str, journal: Path) -> None:
        self.names, self._worker, self._journal = names(toy), worker, journal
        self._waits: Counter[int] = Counter()

    def stage(self, batch: Sequence[Input], tables: Tables, outbox: Outbox) -> Later | None:
        """Records of the main topic."""
        tally, side = tables["tally"], tables["side"]
        keys = [at(record.partition, record.key or b"") for record in batch]
        tally.load(keys)
        side.load(keys)
        for index, record in enumerate(batch):
            asked = json.loads(record.value or b"{}")
            mistaken = asked.get("mistaken", False) and self._waits[asked["id"]]
            if asked.get("until_ms", 0) > now_ms() and not mistaken:
                self._waits[asked["id"]] += 1
                return Later(index, asked["until_ms"])
            key = keys[index]
            last, count = read_tally(tally.get(key))
            fresh = record.offset > last
            if fresh:
                count += 1
                tally[key] = _ENTRY.pack(record.offset, count)
            told = {"id": asked["id"], "fresh": fresh, "count": count, "worker": self._worker, "at_ms": now_ms()}
            told["waits"] = self._waits[asked["id"]]
            told["side"] = (side.get(key) or b"").decode()
            self._do(asked, told, outbox)
            outbox.send(self.names.out, b"from %d" % record.partition, json.dumps(told).encode())
        return None

    def _do(self, asked: dict[str, Any], told: dict[str, Any], outbox: Outbox) -> None:
        match asked.get("do"):
            case "raise":
                raise ValueError("a secret that no log may show")
            case "call" | "large call":
                outbox.call(asked)
            case "hold":
                time.sleep(asked["s"])
            case "big":
                told["ballast"] = os.urandom(asked["bytes"] // 2).hex()

    def remember(self, batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
        """Records of the side topic become entries."""
        for record in batch:
            tables["side"][at(record.partition, record.key or b"")] = record.value or b""
            outbox.send(self.names.out, record.key, json.dumps({"side_seen": (record.value or b"").decode()}).encode())

    def bury(self, record: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        """What a stage raised on."""
        outbox.send(self.names.dead, str(record.offset).encode(), detail.encode())

    async def perform(self, work: Any, tables: Tables) -> object:
        """A call: takes `s` seconds, or waits until the file `gate` is there."""
        self._note(work, "begun")
        if "gate" in work:
            while not Path(work["gate"]).exists():
                await asyncio.sleep(0.02)
        await asyncio.sleep(work.get("s", 0))
        self._note(work, "ended")
        return {"id": work["id"], "called": "x" * 1_200_000 if work["do"] == "large call" else "ended"}

    def abandon(self, work: Any, started: bool) -> object:
        """A call that was cut off or never begun; nothing where it is to be forgotten."""
        return None if work.get("forget") else {"id": work["id"], "called": "cut" if started else "not begun"}

    def settle(self, results: Sequence[Any], tables: Tables, outbox: Outbox) -> None:
        """Results of calls."""
        for result in results:
            outbox.send(self.names.out, b"", json.dumps(result | {"worker": self._worker}).encode())

    def bury_result(self, result: Any, detail: str, tables: Tables, outbox: Outbox) -> None:
        """What could not be settled."""
        outbox.send(self.names.dead, b"result of %d" % result["id"], detail.encode())

    def _note(self, work: Any, what: str) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps({"id": work["id"], "what": what, "worker": self._worker}) + "\n")


def flow(toy: str, worker: str, journal: Path) -> Flow:
    """The flow of a toy."""
    work = Work(toy, worker, journal)
    as_it_is = Fold[bytes | None](lambda source: (source.key, source.value), lambda value, standing, ring: value)
    side = Table("side", Kind.SOURCE_BACKED, source=work.names.side, fold=as_it_is)
    lane = Lane(os.environ.get("TOY_LANE", "high"))
    return Flow(
        name=toy,
        lane=lane,
        stages={work.names.asked: work.stage, work.names.side: work.remember},
        bury=work.bury,
        tables=(TALLY, side),
        outside=Outside(
            window=int(os.environ.get("TOY_WINDOW", "64")),
            perform=work.perform,
            abandon=work.abandon,
            settle=work.settle,
            bury=work.bury_result,
            start=_pulse,
        ),
        writes=(work.names.out, work.names.dead),
        waits=WAITS[lane],
    )


async def _pulse(be_no_ghost: Callable[[], None]) -> None:
    """From when the file TOY_PULSE exists, write to it the longest CPU time between two beats of 1 ms, in ms."""
    target = os.environ.get("TOY_PULSE")
    if target:
        asyncio.get_running_loop().create_task(_beat(Path(target)))


async def _beat(target: Path) -> None:
    worst, last = 0.0, time.thread_time()
    while True:
        await asyncio.sleep(0.001)
        now = time.thread_time()
        if now - last > worst and target.exists():
            worst = now - last
            target.write_text(f"{worst * 1000:.2f}")
            now = time.thread_time()
        last = now


def _die_between_changelog_and_forward() -> None:
    emit = FlowProducer.emit

    def die_later() -> None:
        # Later than the next commit, which must not come before the forward.
        asyncio.get_running_loop().call_later(3 * COMMIT_S, os.kill, os.getpid(), signal.SIGKILL)

    def only_the_changelog(
        self: FlowProducer, records: Any, changelogs: Any, durable: Any, whole: Any, logged: Any
    ) -> None:
        if changelogs and not Path(os.environ["TOY_STATE"], "died").exists():
            Path(os.environ["TOY_STATE"], "died").touch()
            emit(self, [], changelogs, lambda: None, die_later, logged)
        else:
            emit(self, records, changelogs, durable, whole, logged)

    FlowProducer.emit = only_the_changelog  # type: ignore[method-assign]


def _refuse_the_first_commits() -> None:
    commit, refused = Thread.commit_now, [3]

    async def refuse(self: Thread, offsets: Any) -> bool:
        refused[0] -= 1
        return await commit(self, offsets) if refused[0] < 0 else False

    Thread.commit_now = refuse  # type: ignore[method-assign]


def _never_be_done() -> None:
    Frontier.finish = lambda self, span: None  # type: ignore[method-assign]


def _forget_to_let_go() -> None:
    async def release(self: Tenure) -> None:
        raise RuntimeError("a secret that no log may show")

    Tenure.release = release  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "die between changelog and forward": _die_between_changelog_and_forward,
    "refuse the first commits": _refuse_the_first_commits,
    "never be done": _never_be_done,
    "raise when partitions are revoked": _forget_to_let_go,
}


def main() -> None:
    """Run the toys that TOY_NAMES lists until told to stop."""
    logs.configure()
    FAULTS[os.environ.get("TOY_FAULT", "")]()
    patience = float(os.environ.get("TOY_PATIENCE", "60"))
    # As with the real ones, a stuck loop is told before the lag that comes of it.
    Watchdog.__init__.__kwdefaults__ = {"loop_s": patience, "progress_s": 1.5 * patience}  # type: ignore[attr-defined]
    state, worker = Path(os.environ["TOY_STATE"]), os.environ["TOY_WORKER"]
    flows = [flow(toy, worker, Path(os.environ["TOY_JOURNAL"])) for toy in os.environ["TOY_NAMES"].split(",")]
    run(flows, Host(worker, os.environ["CARILLON_KAFKA"], state, RING, int(os.environ["TOY_PARTITIONS"])))


if __name__ == "__main__":
    main()
