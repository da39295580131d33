"""Runs the demo from the first server to the last line."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import environ
from pathlib import Path

import click

from deploy.local import accounts
from deploy.local.servers import REPOSITORY
from deploy.local.stack import Stack
from flows import roster
from flows.clients import Rows
from flows.demo import ledger, summary
from flows.demo.audit import Audit
from flows.demo.ending import Ending
from flows.demo.lag import Lag
from flows.demo.people import COUNT, preference_of
from flows.demo.providers import Sandbox
from flows.demo.screen import Screen
from flows.demo.sender import Sender
from flows.demo.watch import gather, ready
from flows.preparation import prepare
from flows.reading import Reader, position
from flows.settings import Settings
from flows.supervisor import Supervisor, roles
from flows.upstream import Upstream
from schemas.errors import Misconfigured
from schemas.topics import Topic

READY_S = 60.0
STUCK_S = 30.0
"""Draining is given up when for so long no record fewer was left."""
SEED = 7
_QUIET_TWICE = 2
"""Nothing left, seen so often in a row: what one flow releases, another has not yet committed."""
_PREFIXES = ("CARILLON_", "AWS_")


Trace = Callable[[Settings, str], None]
Announce = Callable[[dict[str, str]], str]
"""Tells others the settings; returns what a shell runs first, so that a command in it has them."""


class Demo:
    """One run. `home` takes data and logs; `keys` are the settings of the key ring;
    `trace` prints what is known of one notification."""

    def __init__(self, home: Path, keys: dict[str, str], ending: Ending, trace: Trace) -> None:
        self._home, self._keys, self._ending, self._trace = home, keys, ending, trace
        self._screen = Screen()
        self._held = ExitStack()
        self._reach = ""

    def run(self, seconds: float | None, stay: bool, announce: Announce) -> bool:
        """Everything; True if both sums close. `announce` gets the settings once the servers are up."""
        with self._held:
            settings, sandbox, addresses = self._start(announce)
            sender = Sender(settings.kafka, settings.ring(), SEED)
            sandbox.misbehave()
            sender.start()
            self._ending.begin()
            began = time.monotonic()
            self._look(sender, addresses, "sending", lambda: seconds is not None and time.monotonic() - began > seconds)
            sender.stop()
            sandbox.behave()
            self._drain(settings, sender, addresses)
            closed = self._reckon(settings, sandbox, sum(sender.written.values()))
            if stay:
                again = f"{self._reach}carillon dlq ls"
                click.echo(f"Everything stays up until Ctrl-C; in another terminal of this folder: {again}")
                self._ending.rest()
        return closed

    def _start(self, announce: Announce) -> tuple[Settings, Sandbox, list[str]]:
        """Servers, topics, people and workers, all ready."""
        self._stack = Stack(self._home, fresh=True, keep=False, lib=_jars(self._home))
        self._held.callback(self._stack.stop)
        found = self._stack.start(click.echo)
        local = found.environment() | accounts.environment() | self._keys
        local |= {
            "CARILLON_STATE": str(self._home / "state"),
            # Carries our reference to the sandbox's ledger; nobody calls it.
            "CARILLON_TWILIO_CALLBACK_URL": "http://callbacks.example.com/twilio",
        }
        _become(local)
        self._reach = announce(local)
        settings = Settings.from_environment()
        click.echo(f"{prepare(settings).topics} topics, two tables and the templates are there")
        supervisor = Supervisor(roles(prefix="demo"), self._home / "logs", click.echo)
        self._held.callback(supervisor.stop)
        supervisor.start()
        _introduce(settings)
        click.echo(f"{COUNT} users have written their preferences")
        addresses = list(supervisor.addresses().values())
        self._await_ready(supervisor, addresses)
        self._guard(supervisor)
        for worker, address in supervisor.addresses().items():
            click.echo(f"{worker}: {address}/metrics")
        return settings, Sandbox(found.sandbox), addresses

    def _await_ready(self, supervisor: Supervisor, addresses: list[str]) -> None:
        deadline = time.monotonic() + READY_S
        while not ready(addresses):
            supervisor.look()
            self._stack.check()
            if supervisor.refused:
                raise Misconfigured(supervisor.refused)
            if time.monotonic() > deadline:
                raise Misconfigured(f"the workers are not ready after {READY_S:.0f} s:\n{supervisor.last_words()}")
            time.sleep(0.1)

    def _guard(self, supervisor: Supervisor) -> None:
        """Let a thread look after the workers from here on."""
        over = threading.Event()
        thread = threading.Thread(target=supervisor.watch, args=(over,), name="supervisor", daemon=True)
        thread.start()
        self._held.callback(thread.join)
        self._held.callback(over.set)

    def _look(self, sender: Sender, addresses: list[str], what: str, over: Callable[[], bool]) -> None:
        """Show what goes on, once a second, until it is over or somebody wants an end."""
        while not over() and not self._ending.wait(1.0):
            self._stack.check()
            self._screen.show(gather(addresses), sender.written, what)

    def _drain(self, settings: Settings, sender: Sender, addresses: list[str]) -> None:
        """Wait until nothing is left before any worker, the waiting rooms of retries included."""
        lag = Lag(settings.kafka, settings.partitions, roster.build(list(roster.FLOWS), settings))
        quiet, left, least, moved = 0, 0, float("inf"), time.monotonic()
        while quiet < _QUIET_TWICE and time.monotonic() - moved < STUCK_S and not self._ending.impatient:
            left = lag.now()
            quiet = quiet + 1 if left == 0 else 0
            if left < least:
                least, moved = left, time.monotonic()
            self._screen.show(gather(addresses), sender.written, f"draining, {left} to go")
            time.sleep(0.25)
        self._screen.leave()
        if quiet < _QUIET_TWICE:
            click.echo(f"Not drained: {left} records are left.")

    def _reckon(self, settings: Settings, sandbox: Sandbox, written: int) -> bool:
        reader = Reader(settings.kafka)
        audit = Audit(lambda topic: _records(reader, topic))
        rows = Rows(settings)
        found = audit.take(rows.scan(rows.logs))
        seen = ledger.read(sandbox.ledger(), audit.due())
        reader.close()
        for line in summary.lines(found, seen, written):
            click.echo(line)
        if found.example:
            click.echo(f"\n$ carillon trace {found.example}")
            self._trace(settings, found.example)
            click.echo("To look around yourself: carillon demo --stay")
        return not found.missing


def _records(reader: Reader, topic: Topic) -> Iterator[tuple[str, bytes | None]]:
    for message in reader.read(reader.partitions(topic.name)):
        yield position(message), message.value()


def _introduce(settings: Settings) -> None:
    ring, upstream = settings.ring(), Upstream(settings.kafka)
    for number in range(COUNT):
        upstream.prefer(preference_of(number, ring), settings.partitions)
    upstream.flush()


def _jars(home: Path) -> Path:
    own = home.parent / "lib"
    return own if own.exists() else REPOSITORY / ".carillon" / "lib"


def _become(local: dict[str, str]) -> None:
    """The demo has settings of its own: what the shell, or a `carillon up`, has set takes no part."""
    for name in [name for name in environ if name.startswith(_PREFIXES)]:
        del environ[name]
    environ.update(local)
