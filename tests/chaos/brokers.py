"""Kill the leader of three brokers under load, then two of the three, whom the third can acknowledge nothing without.

    make chaos-brokers [RATE=50] [USERS=400] [SEED=1]

Three brokers (each its own JVM, controller too), three replicas, at least two in sync. A JSON summary is the last line
on stdout; exit code 1 on anything the audit finds, or if a record was acknowledged while two of three were away.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from accepted import Entry
from audit import Audit, report
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from harness import Rig, eventually, log
from hurts import Hurt
from pipeline_audit import audit
from recovery import due_times, late, recovered_s, series
from scene import Scene
from victims import REPOSITORY, ChaosError

from deploy.local import probes
from deploy.local.children import Child, Nursery, stop
from deploy.local.fetch import formatter
from deploy.local.ports import Reservation
from deploy.local.results import option
from deploy.local.servers import ASIDE, CONTROLLER, Plan, kafka_command, kafka_properties

NODES = (1, 2, 3)
READY_S = 60.0
IN_SYNC_S = 60.0
LOAD_S = 600.0
"""At most: it is told to stop when all is over."""
REST_S = 15.0
AWAY_S = 10.0
SETTLE_S = 3.0
"""How long what was under way when a second broker was killed may still be acknowledged."""
DRAIN_S = 180.0


class Brokers:
    """Three brokers in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "brokers"
        self._plan = Plan(REPOSITORY / ".carillon" / "lib")
        self._nursery = Nursery()
        self._children: dict[int, Child] = {}
        names = [f"{part} {node}" for node in NODES for part in ("kafka", CONTROLLER, ASIDE)]
        with Reservation(names, {}) as held:
            self._ports = dict(held.ports)
        self.addresses = ",".join(f"127.0.0.1:{self._ports[f'kafka {node}']}" for node in NODES)

    def __enter__(self) -> Self:
        for node in NODES:
            self._format(node)
        for node in NODES:
            self.start(node)
        for node in NODES:
            self._await(node)
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._children.values())
        self._nursery.close()

    def _ports_of(self, node: int) -> Mapping[str, int]:
        return {part: self._ports[f"{part} {node}"] for part in ("kafka", CONTROLLER, ASIDE)}

    def _write(self, node: int) -> None:
        """A node's properties: those of the one broker of a stack, with what makes it one of three."""
        properties = kafka_properties(self._folder / str(node), self._ports_of(node))
        voters = ",".join(f"{other}@127.0.0.1:{self._ports[f'{CONTROLLER} {other}']}" for other in NODES)
        changed = {
            "node.id": node,
            "controller.quorum.voters": voters,
            "min.insync.replicas": 2,
            "default.replication.factor": 3,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
        }
        # Of two lines for one name, the last counts.
        with properties.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in changed.items())

    def _format(self, node: int) -> None:
        self._write(node)
        done = subprocess.run(
            formatter(self._plan, self._folder / str(node)), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ChaosError(f"broker {node} could not be formatted:\n{done.stdout[-2000:]}")

    def start(self, node: int) -> None:
        """Start a node on what it has."""
        data = self._folder / str(node)
        command = kafka_command(self._plan, data, self._ports_of(node))
        self._write(node)
        self._children[node] = self._nursery.spawn(f"kafka {node}", command, data / "kafka.log")

    def _await(self, node: int) -> None:
        deadline = time.monotonic() + READY_S
        while not probes.kafka(self._ports[f"kafka {node}"]):
            if not self._children[node].alive() or time.monotonic() > deadline:
                raise ChaosError(f"broker {node} does not answer: {self._children[node].tail()}")
            time.sleep(0.1)

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self._children[node].process.kill()
        self._children[node].process.wait()


def leader(admin: AdminClient) -> int:
    """The node that leads most partitions of the high lane's input."""
    partitions = admin.list_topics("notifications.high", timeout=10).topics["notifications.high"].partitions
    leaders = [partition.leader for partition in partitions.values()]
    return max(NODES, key=leaders.count)


def in_sync(admin: AdminClient) -> bool:
    """Whether every replica of every partition is in sync."""
    try:
        topics = admin.list_topics(timeout=10).topics.values()
    except KafkaException:
        return False
    return all(len(found.isrs) == len(NODES) for topic in topics for found in topic.partitions.values())


@contextmanager
def away(scene: Scene, brokers: Brokers, nodes: list[int], began: float, times: list[dict[str, Any]]) -> Iterator[None]:
    """Kill nodes, and start them again in the end; notes when that was."""
    struck = time.time()
    log(f"{struck - began:5.1f} s  brokers {nodes} are killed")
    for node in nodes:
        brokers.kill(node)
    yield
    for node in nodes:
        brokers.start(node)
    healed = time.time()
    log(f"{healed - began:5.1f} s  brokers {nodes} are started")
    scene.hurts.append(Hurt(struck, "broker", None, healed))
    times.append({"nodes": nodes, "struck_s": round(struck - began, 1), "healed_s": round(healed - began, 1)})


def run(seed: int, rate: int, users: int) -> Audit:
    """The whole run and what came of it."""
    made: list[Brokers] = []

    @contextmanager
    def trio(folder: Path) -> Iterator[str]:
        with Brokers(folder) as brokers:
            made.append(brokers)
            yield brokers.addresses

    times: list[dict[str, Any]] = []
    with Scene(Rig(("dynamodb", "s3", "sandbox"), brokers=trio)) as scene:
        (brokers,) = made
        scene.expect(
            eventually(lambda: in_sync(scene.servers.admin), IN_SYNC_S), "all replicas are in sync at the start"
        )
        load = scene.rig.load(seed=seed, rate=rate, seconds=LOAD_S, users=users)
        load.wait_ready()
        began = time.time()
        time.sleep(REST_S)
        with away(scene, brokers, [leader(scene.servers.admin)], began, times):
            time.sleep(AWAY_S)
        scene.expect(
            eventually(lambda: in_sync(scene.servers.admin), IN_SYNC_S), "one broker that was away is in sync again"
        )
        time.sleep(REST_S)
        first = leader(scene.servers.admin)
        with away(scene, brokers, [first, next(node for node in NODES if node != first)], began, times):
            time.sleep(AWAY_S)
        scene.expect(
            eventually(lambda: in_sync(scene.servers.admin), IN_SYNC_S), "two brokers that were away are in sync again"
        )
        time.sleep(REST_S)
        load.stop()
        load.wait(DRAIN_S)
        scene.heal()
        drained_s = scene.drain(DRAIN_S)
        result = audit(scene.rig, load.ledger, hurts=scene.hurts)
        seconds = series(due_times(load.ledger), scene.rig.ledger(), began)
        entries = [Entry.read(line) for line in load.ledger.read_text().splitlines()]
    since, until = began + times[1]["struck_s"] + SETTLE_S, began + times[1]["healed_s"]
    result.expect_none("acknowledged_without_a_majority", [e.number for e in entries if since < e.t_acked < until])
    result.expect_none("not_as_expected", scene.unseen)
    ends = [times[1]["struck_s"], float(len(seconds))]
    for row, end in zip(times, ends, strict=True):
        row["recovered_s"] = recovered_s(seconds, row["struck_s"], row["healed_s"], end)
        row["late_s"] = sum(late(seconds, row["struck_s"], end))
    result.figures |= {"seed": seed, "away": times, "deaths": scene.deaths, "drained_s": round(drained_s, 1)}
    result.figures |= {"seconds": seconds}
    return result


def main() -> int:
    """One run; returns the exit code."""
    return report("brokers", lambda: run(option("SEED", 1), option("RATE", 50), option("USERS", 400)))


if __name__ == "__main__":
    sys.exit(main())
