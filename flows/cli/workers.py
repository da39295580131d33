"""`carillon worker` and `carillon run`."""

import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import click

from flows import key_registry, logs, roster
from flows.cli import environment
from flows.cli.doors import reached
from flows.cli.folder import alone, writable
from flows.engine.host.process import Host
from flows.engine.host.process import run as host
from flows.settings import Settings, worker_id
from flows.supervisor import Supervisor, roles
from schemas.errors import Misconfigured
from schemas.vocabulary import Lane


@click.command()
@click.argument("names", metavar="[FLOW]...", nargs=-1)
@click.option("--lane", type=click.Choice([lane.value for lane in Lane]), help="Every flow of a lane.")
@click.option("--beside", is_flag=True, help="Every flow that no sender waits for: record and the taps.")
@click.option("--id", "worker", help="Stable name of this worker; its tables lie in CARILLON_STATE under it.")
@click.option("--shared", is_flag=True, help="Allow two lanes in one process.")
def worker(names: tuple[str, ...], lane: str | None, beside: bool, worker: str | None, shared: bool) -> None:
    """Host flows in one process until SIGTERM or Ctrl-C; `carillon flows` names them.

    \b
    Examples:  carillon worker --lane high --id high-0
               carillon worker route.high retry.high
               carillon worker --beside --id beside-0
    """
    settings = Settings.from_environment()
    if worker is not None:
        settings = replace(settings, worker=worker_id("--id", worker))
    built = roster.build(hosted(names, lane, beside), settings)
    if not shared and len(lanes := {flow.lane for flow in built if flow.lane}) > 1:
        raise Misconfigured(
            f"{' and '.join(sorted(lanes))} in one process: a marketing blast would then slow every OTP down, and one "
            "crash would stop both. Start one process a lane (`carillon run` does), or add --shared where that is meant"
        )
    logs.configure()
    folder = writable(settings.state / settings.worker, "set CARILLON_STATE to a folder that this worker may write")
    taken = f"another process works in {folder}: give each worker an --id of its own, or its own CARILLON_STATE"
    _check_metrics(settings.metrics_host, settings.metrics_port)
    with alone(folder / "lock", taken):
        with reached(settings):
            key_registry.check(settings)
        host(built, Host.of(settings, folder))


def _check_metrics(host: str, port: int) -> None:
    """Raises Misconfigured where metrics cannot be served: the engine ends as if it were broken there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            where = f"{host}:{port} (CARILLON_METRICS_HOST, CARILLON_METRICS_PORT)"
            raise Misconfigured(f"metrics cannot be served on {where}: {error}; port 0 takes a free one") from None


def hosted(names: tuple[str, ...], lane: str | None, beside: bool) -> list[str]:
    """The flows that a worker is asked to host, each once. Raises Misconfigured for none."""
    of_lane = roster.of_lane(Lane(lane)) if lane else []
    wanted = list(dict.fromkeys([*names, *of_lane, *(roster.of_lane(None) if beside else [])]))
    if not wanted:
        raise Misconfigured("name flows, a lane or --beside: `carillon flows` lists them")
    return wanted


@click.command()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes for each lane.")
def run(workers: int) -> None:
    """Run every flow on this machine: one process a lane, and one for the flows that no sender waits for.

    A process that ends is started again under its id, with its tables, within a second; one that ends with exit code 2
    or 78 stays down. Where a process is refused at its first start, all are stopped and this ends with 2. Ctrl-C or
    SIGTERM drains all. CARILLON_METRICS_PORT is the port of the first process, the others have those after it; without
    it all have free ones.

    \b
    Example:  carillon run --workers 2
    """
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    settings = Settings.from_environment()
    settings.ring()
    logs_folder = environment.home(Path()) / "logs"
    supervisor = Supervisor(roles(workers, settings.worker), logs_folder, click.echo, first_port=settings.metrics_port)
    supervisor.start()
    try:
        supervisor.watch(ending)
    finally:
        supervisor.stop()
    if supervisor.refused:
        raise Misconfigured(supervisor.refused)
