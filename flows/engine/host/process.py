"""One process: the flows it hosts, its metrics port, its watchdog, its clean end on SIGTERM."""

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from flows.engine.engine import Engine
from flows.engine.flow import Flow
from flows.engine.host.dependencies import Dependencies
from flows.engine.host.exposition import serve
from flows.engine.host.watchdog import Watchdog
from flows.engine.kafka.reader import Readers
from flows.engine.meters import Meters
from flows.engine.producer import Lines
from flows.engine.seams import EngineApp, NoTables
from flows.engine.state.replicated import Replicated
from flows.engine.stop import die
from flows.engine.tenure import HEARTBEAT_S
from flows.settings import Settings
from schemas import metrics
from schemas.errors import Misconfigured, Unreachable
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables.table import Kind

log = logging.getLogger("carillon.engine")
_COLLECT_AFTER = (50_000, 20, 100)
"""Records come and go by the thousand and hold no cycles: collect seldom."""
_SWITCH_S = 0.0005
"""Two Python threads share a worker; the default of 5 ms is felt in every latency."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a process runs: its stable id, the brokers, its state folder, how many partitions topics have there, its
    metrics address (port 0: any)."""

    worker: str
    brokers: str
    folder: Path
    ring: KeyRing
    partitions: int
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> "Host":
        """As the settings say, with its state in `folder`. Raises Misconfigured where there are no keys."""
        return cls(
            settings.worker,
            settings.kafka,
            folder,
            settings.ring(),
            settings.partitions,
            settings.metrics_host,
            settings.metrics_port,
        )


def app_of(flow: Flow, host: Host) -> EngineApp:
    """The Faust app of a flow: its id is the consumer group; high lanes are static members."""
    high = flow.lane is Lane.HIGH
    return EngineApp(
        flow.group,
        broker=";".join(f"kafka://{broker}" for broker in host.brokers.split(",")),
        datadir=str(host.folder / "faust"),
        canonical_url=f"http://{host.worker}.carillon",
        consumer_group_instance_id=f"{flow.name}-{host.worker}" if high else None,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=flow.session_s,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=30.0,
        broker_request_timeout=60.0,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        TableManager=NoTables,
        web_enabled=False,
    )


class Process:
    """Flows of one process, from start to end."""

    def __init__(self, flows: Sequence[Flow], host: Host) -> None:
        self.host = host
        self.meters = Meters()
        (host.folder / "faust").mkdir(parents=True, exist_ok=True)
        client = f"carillon-{host.worker}"
        self._lines, self._readers = Lines(host.brokers, client), Readers(host.brokers, client)
        self._pool = ThreadPoolExecutor(max_workers=max(2, len(flows)), thread_name_prefix="stores")
        wanted = {table.name: table for flow in flows for table in flow.tables if table.kind is Kind.REPLICATED}
        self.replicated = {
            name: Replicated(table, host.folder, host.brokers, host.ring) for name, table in wanted.items()
        }
        self.engines = [self._engine(flow) for flow in flows]
        self.watchdog = Watchdog(self.engines)
        kafka = *(engine.tenure.silent_s for engine in self.engines), *(t.silent_s for t in self.replicated.values())
        others = (asked for flow in flows for asked in flow.dependencies.items())
        self.dependencies = Dependencies([*(("kafka", silent_s) for silent_s in kafka), *others])
        self._stop = asyncio.Event()

    def _engine(self, flow: Flow) -> Engine:
        return Engine(
            flow,
            app_of(flow, self.host),
            brokers=self.host.brokers,
            lines=self._lines,
            readers=self._readers,
            folder=self.host.folder,
            ring=self.host.ring,
            meters=self.meters,
            replicated={t.name: self.replicated[t.name] for t in flow.tables if t.kind is Kind.REPLICATED},
            pool=self._pool,
        )

    async def run(self) -> None:
        """Start everything, work until SIGTERM or SIGINT, end in order."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self._lines.start()
        for engine in self.engines:
            engine.check_partitions(self.host.partitions)
        for table in self.replicated.values():
            table.start()
        for table in self.replicated.values():
            if not await loop.run_in_executor(self._pool, table.wait_whole, 60.0):
                raise Unreachable(f"{table.table.name} was not read from Kafka within 60 s")
        where = self.host.metrics_host, self.host.metrics_port
        port = serve(*where, self.meters.registry, self.watchdog.live, self._ready)
        self.watchdog.start()
        beats = loop.create_task(self._beat())
        beats.add_done_callback(_stopped)
        for engine in self.engines:
            await engine.start_outside()
        await asyncio.gather(*(engine.app.start() for engine in self.engines))
        self._readers.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        log.info("process_started", extra={"flows": [e.flow.name for e in self.engines], "metrics_port": port})
        await self._stop.wait()
        self.watchdog.stop()
        await self._end()
        beats.cancel()

    async def _beat(self) -> None:
        while True:
            self.watchdog.beat()
            for engine in self.engines:
                engine.tenure.beat()
            for name, table in self.replicated.items():
                self.meters.set(metrics.STALENESS, (name,), table.staleness_s())
            for name, silent_s in self.dependencies.look(time.monotonic()).items():
                self.meters.set(metrics.SILENT, (name,), silent_s)
            await asyncio.sleep(0.5)

    def _ready(self) -> dict[str, str]:
        return self.watchdog.ready() | self.dependencies.lost()

    async def _end(self) -> None:
        log.info("process_stopping")
        await asyncio.gather(*(engine.tenure.end() for engine in self.engines))
        await asyncio.gather(*map(_leave, self.engines))
        self._readers.stop()
        await self._lines.stop()
        for table in self.replicated.values():
            await asyncio.get_running_loop().run_in_executor(self._pool, table.stop)


async def _leave(engine: Engine) -> None:
    """Leave the group, and close what the flow had open."""
    try:
        await asyncio.wait_for(engine.app.stop(), 5.0)
    except TimeoutError:
        log.warning("app_stop_slow", extra={"flow": engine.flow.name})
    if engine.flow.outside is not None and engine.flow.outside.stop is not None:
        await engine.flow.outside.stop()
    await engine.tenure.close()


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback of ours that raised leaves work half done: end. A task's forgotten error is only told."""
    error = context.get("exception")
    if "handle" in context:
        die("a callback raised", error)
    log.warning("task_failed", extra={"what": context.get("message"), "error": type(error).__name__})


def _stopped(beats: "asyncio.Task[None]") -> None:
    """Without its beats a process neither knows that it stood still nor tells of anything."""
    if not beats.cancelled() and (error := beats.exception()) is not None:
        die("the beats of the process stopped", error)


def _thread_raised(raised: threading.ExceptHookArgs) -> None:
    """Whatever the thread was for is done no more, and nobody would know."""
    name = raised.thread.name if raised.thread is not None else "unknown"
    die(f"the thread {name} ended by an error", raised.exc_value)


def run(flows: Sequence[Flow], host: Host) -> None:
    """Host `flows` until told to stop; returns only after a clean end. Raises Misconfigured."""
    threading.excepthook = _thread_raised
    sys.setswitchinterval(_SWITCH_S)
    started = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        asyncio.set_event_loop(runner.get_loop())

        async def live() -> None:
            process = Process(flows, host)
            try:
                await process.run()
            except Misconfigured:
                raise
            except Exception as error:  # the edge of the process
                die("the process failed", error)

        runner.run(live())
    log.info("process_ended", extra={"seconds": round(time.monotonic() - started, 1)})
