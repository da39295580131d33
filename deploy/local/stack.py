"""Kafka, Redis, DynamoDB, S3 and the provider sandbox, as real processes on 127.0.0.1.

    with Stack(root) as stack:
        stack.addresses.kafka   # "127.0.0.1:24711"

All of it lies under `root/.carillon`: `data` is kept between runs, `logs` is written anew. Nothing of a stack survives
its owner, not even when that is killed with -9 (Linux; elsewhere only an orderly end stops the servers).
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.local import children, java, lock, ports
from deploy.local.servers import ASIDE, REPOSITORY, SERVERS, Part, PartMissing, Plan

PARTS: tuple[Part, ...] = ("kafka", "redis", "dynamodb", "s3", "sandbox")
PROVIDER_PATHS = {  # the sandbox plays them all on one port
    "TWILIO_URL": "twilio",
    "SENDGRID_URL": "sendgrid",
    "FCM_URL": "fcm",
    "FCM_TOKEN_URL": "oauth/token",
}
AWS_DUMMIES = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
}
READY_LIMIT = 60.0  # seconds; 2 to 4 are usual
LOCK_LIMIT = 3.0  # seconds for the servers of a killed owner to go


class StackError(Exception):
    """The stack cannot start or has lost a server; the message names it and says what to do."""


@dataclass(frozen=True)
class Addresses:
    """Where the servers answer: "127.0.0.1:port" for kafka and redis, "http://127.0.0.1:port" for the others.

    A part that was left out has the empty string.
    """

    kafka: str = ""
    redis: str = ""
    dynamodb: str = ""
    s3: str = ""
    sandbox: str = ""

    def environment(self) -> dict[str, str]:
        """The settings that point Carillon's processes at what was started, with AWS keys that local servers accept."""
        servers = {
            "CARILLON_KAFKA": self.kafka,
            "CARILLON_DYNAMODB": self.dynamodb,
            "CARILLON_S3": self.s3,
        }
        providers = {f"CARILLON_{name}": f"{self.sandbox}/{path}" for name, path in PROVIDER_PATHS.items()}
        started = {name: address for name, address in servers.items() if address}
        return started | (providers if self.sandbox else {}) | AWS_DUMMIES


class Stack:
    """Starts, watches and stops the local servers named in `parts`.

    root: the folder whose `.carillon` takes data and logs.
    fresh: wipe the data first. keep: whether data is to outlive the run; without it DynamoDB stays in memory, several
    times as fast, and Redis writes no file.
    jvm: "quick" boots fast, "steady" is for load runs.
    ports: fixed ports by part; the others get free ones. lib: where the jars are, `root/.carillon/lib` by default.
    detour: the port of a proxy through which clients of Kafka's second listener (`aside`) are to come.
    """

    def __init__(
        self,
        root: Path,
        *,
        fresh: bool = False,
        keep: bool = True,
        parts: Sequence[Part] = PARTS,
        jvm: java.Pace = "quick",
        ports: Mapping[str, int] | None = None,
        lib: Path | None = None,
        detour: int | None = None,
    ) -> None:
        self._home = root.resolve() / ".carillon"
        self._plan = Plan((lib or self._home / "lib").resolve(), jvm, keep, detour)
        self._fresh = fresh
        self._parts = tuple(parts)
        self._wanted = dict(ports or {})
        self._ports: dict[str, int] = {}
        self._children: dict[Part, children.Child] = {}
        self._nursery: children.Nursery | None = None
        self._lock: int | None = None

    @property
    def addresses(self) -> Addresses:
        """Where the started servers answer."""
        plain = {"kafka", "redis"}
        return Addresses(**{p: f"{'' if p in plain else 'http://'}127.0.0.1:{self._ports[p]}" for p in self._parts})

    @property
    def aside(self) -> int:
        """The port of Kafka's second listener, where there is a detour."""
        return self._ports[ASIDE]

    def start(self, progress: Callable[[str], None] = lambda _: None) -> Addresses:
        """Start all servers at once and wait until each answers, telling `progress` of each.

        Raises StackError, with everything stopped again, when a port is taken, a program is missing, a server ends or
        another stack uses the same data.
        """
        try:
            self._own_data()
            self._nursery = children.Nursery()
            names = [name for part in self._parts for name in (part, *SERVERS[part].more_ports)]
            with ports.Reservation(names, self._wanted) as held:
                self._ports = held.ports
                for part in self._parts:
                    held.release(part, *SERVERS[part].more_ports)
                    self._spawn(part)
            self._await(self._parts, progress)
        except (ports.PortTaken, PartMissing, java.JavaMissing) as error:
            self.stop()
            raise StackError(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def check(self) -> None:
        """Raise StackError, with the end of its log, if a server has ended by itself."""
        self._check(self._children)

    def kill(self, part: Part) -> None:
        """End one server with SIGKILL, as a crash would; `revive` brings it back. `check` complains in between."""
        self._children[part].process.kill()
        self._children[part].process.wait()

    def revive(self, part: Part) -> None:
        """Start one server again on its port and its data, and wait until it answers; one that runs is stopped first.

        After `kill`, Kafka takes 4 s: the controller lets a broker in again when its old session has run out.
        """
        children.stop([self._children[part]])
        self._spawn(part)
        self._await((part,), lambda _: None)

    def pids(self) -> dict[Part, int]:
        """The process id of each server."""
        return {part: child.process.pid for part, child in self._children.items()}

    def stop(self) -> None:
        """SIGTERM to all servers, SIGKILL after 5 s; returns when all are gone. Calling it twice does no harm."""
        children.stop(self._children.values())
        self._children.clear()
        if self._nursery:
            self._nursery.close()
            self._nursery = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _own_data(self) -> None:
        """Lock the data folder, for as long as this process or one of its servers lives, and wipe it if asked to."""
        self._home.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_LIMIT
        while (held := lock.hold(self._home / "lock")) is None:
            if time.monotonic() > deadline:
                raise StackError(f"Another stack uses {self._home}: stop it, or wait until its servers have gone.")
            time.sleep(0.05)
        self._lock = held
        if self._fresh:
            shutil.rmtree(self._home / "data", ignore_errors=True)

    def _spawn(self, part: Part) -> None:
        assert self._nursery is not None
        assert self._lock is not None
        command = SERVERS[part].prepare(self._plan, self._home / "data" / part, self._ports)
        self._children[part] = self._nursery.spawn(
            part,
            command,
            self._home / "logs" / f"{part}.log",
            environment={"PYTHONUNBUFFERED": "1"},
            cwd=REPOSITORY,
            inherit=(self._lock,),
        )

    def _check(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if not self._children[part].alive():
                raise StackError(self._children[part].obituary())

    def _await(self, parts: Sequence[Part], progress: Callable[[str], None]) -> None:
        began = time.monotonic()
        waiting = list(parts)
        while waiting:
            self._check(waiting)
            for part in [part for part in waiting if SERVERS[part].ready(self._ports[part])]:
                waiting.remove(part)
                progress(f"{part} ready after {time.monotonic() - began:.1f} s on port {self._ports[part]}")
            if waiting and time.monotonic() - began > READY_LIMIT:
                tail = self._children[waiting[0]].tail()
                raise StackError(f"{waiting[0]} gave no answer in {READY_LIMIT:.0f} s. The end of its log:\n{tail}")
            time.sleep(0.02)
