"""The peers: how each is started, what it reads and writes, and how it shows how far it is."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from measure import BenchError
from processes import Worker
from rig import HERE, REPOSITORY, Rig
from workload import fill, preferences

from deploy.local import java
from schemas.channels import CHANNELS
from schemas.topics import PREFERENCES, Topic

LOCAL = REPOSITORY / ".carillon"
THEIRS = str(LOCAL / "peers" / "bin" / "python")
START_S = 120.0
READ_S = 300.0
SNAPSHOT_S = 11.0
"""In so long a peer that commits nothing in Kafka has kept what it did: twice its time between two snapshots."""
JARS = LOCAL / "peers-java" / "lib"


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer in one variant (peers/routing.py says what `lean` and `like` are).

    It is started with `command` and four arguments. `share`: it gets one of so many events and users. `topics` must be
    there beside its outputs. It has no `group` if it commits nothing that others can see, and is `local` if wiping its
    folder loses what it remembers. `learns`: a first start reads the preferences, before there are events.
    """

    kind: str
    variant: str
    command: Callable[[], list[str]]
    share: int = 1
    topics: tuple[str, ...] = ()
    commits: bool = True
    local: bool = False
    learns: bool = True

    @property
    def name(self) -> str:
        """What it is called in results."""
        return f"{self.kind} {self.variant}".strip()

    @property
    def told(self) -> bool:
        """Whether it writes a decision record for every input."""
        return self.variant not in ("lean", "stock")

    @property
    def prefix(self) -> str:
        """How the names of its topics begin."""
        return f"{self.kind}-{self.variant}."

    @property
    def group(self) -> str:
        """Its consumer group."""
        return f"{self.prefix}route"

    @property
    def people(self) -> str:
        """The topic that it reads preferences from, keyed as events are."""
        return f"share-{self.share}.{PREFERENCES.name}"

    def make(self, rig: Rig) -> None:
        """Make its topics."""
        names = [*(f"{channel}_notifications.high" for channel in CHANNELS), "statuses", *self.topics]
        rig.make([Topic(f"{self.prefix}{name}", "", None, append_time=True) for name in names])

    def worker(self, rig: Rig, notifications: str) -> Worker:
        """Its process, not started."""
        arguments = [self.prefix, self.variant, notifications, self.people]
        return Worker(rig, self.name.replace(" ", "-"), [*self.command(), *arguments], "ready")

    def learn(self, rig: Rig, worker: Worker) -> None:
        """Start it and wait until it has read the preferences and will know them after its next start."""
        worker.start().wait_ready(START_S)
        if self.learns and self.commits:
            rig.follow(worker, lambda: rig.committed(self.group, self.people), rig.end(self.people), READ_S)
        elif self.learns:
            worker.wait_said("learned", 1, READ_S)
            time.sleep(SNAPSHOT_S)


class Carillon(Peer):
    """The flow as shipped: its own topics and group."""

    __slots__ = ()

    @property
    def told(self) -> bool:
        return True

    @property
    def prefix(self) -> str:
        return ""

    @property
    def group(self) -> str:
        return "carillon-route.high"

    @property
    def people(self) -> str:
        return PREFERENCES.name

    def make(self, rig: Rig) -> None:
        """The rig has made them."""

    def worker(self, rig: Rig, notifications: str) -> Worker:
        return rig.worker(self.name, ["route.high"])


def _ours(script: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, str(HERE / "peers" / script)]


def _theirs(script: str) -> Callable[[], list[str]]:
    return lambda: [THEIRS, str(HERE / "peers" / script)]


def _java() -> list[str]:
    options = ["-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return [java.java(), *options, "-cp", java.class_path(JARS), "peer.Main"]


_FAUST = ("dedup-changelog", "users-changelog")
"""Faust makes its changelogs itself, but only after it has looked for them."""

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Carillon("carillon", "", lambda: []),
        *(Peer("plain", v, _ours("plain.py"), topics=("changelog",), learns=False) for v in ("lean", "like")),
        *(Peer("streams", v, _java) for v in ("lean", "like", "gathered", "exactly")),
        *(Peer("quix", v, _theirs("quix.py")) for v in ("lean", "like")),
        *(Peer("bytewax", v, _theirs("bytewax_flow.py"), commits=False, local=True) for v in ("lean", "like")),
        *(Peer("faust-tuned", v, _ours("faust_tuned.py"), share=5, topics=_FAUST) for v in ("lean", "like")),
        Peer("faust", "stock", _ours("faust_stock.py"), share=5, topics=_FAUST),
    )
}


def tell_preferences(rig: Rig, topic: str, users: int) -> None:
    """Make a peer's topic of preferences, if it is not Carillon's own, and write them."""
    by_user = topic != PREFERENCES.name
    if by_user:
        rig.make([Topic(topic, "", None, append_time=True)])
    fill(rig.brokers, topic, preferences(users, rig.ring, by_user))


def chosen(names: str) -> list[Peer]:
    """The peers of a list with commas; `all` is every one. Raises BenchError for one that is not known."""
    if names == "all":
        return list(PEERS.values())
    wanted = [name.strip() for name in names.split(",")]
    if strangers := [name for name in wanted if name not in PEERS]:
        raise BenchError(f"no peer is called {', '.join(strangers)}: there are {', '.join(PEERS)}")
    return [PEERS[name] for name in wanted]
