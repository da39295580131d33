"""Every flow by name, and the topics they need; `carillon flows` prints this."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.provider import Provider, discover
from flows import deliver, record, retry, route, taps
from flows.clients import Rows
from flows.engine.flow import Flow
from flows.settings import Settings
from flows.templates import Templates
from schemas.channels import CHANNELS
from schemas.errors import Misconfigured
from schemas.sealing import KeyRing
from schemas.topics import Topic, catalogue, changelog
from schemas.vocabulary import Lane
from tables.table import Kind, Table


class Means:
    """What flows are built with: settings, keys, templates, providers; each made once, when a flow asks for it."""

    def __init__(self, settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self.ring: KeyRing = settings.ring()
        self._environment = environment
        self._templates: Templates | None = None
        self._providers: dict[str, Provider] | None = None

    @property
    def templates(self) -> Templates:
        """The template cache of the process."""
        if self._templates is None:
            self._templates = Templates(self.settings)
        return self._templates

    @property
    def rows(self) -> Rows:
        """The store of rows."""
        return Rows(self.settings)

    def provider(self, channel: str) -> Provider:
        """The provider of a channel. Raises Misconfigured where there is none."""
        if self._providers is None:
            self._providers = discover(self._environment)
        if channel not in self._providers:
            raise Misconfigured(f"no provider is configured for {channel}: set the CARILLON_* variables of one")
        return self._providers[channel]


@dataclass(frozen=True, slots=True)
class Entry:
    """One flow of the roster."""

    name: str
    lane: Lane | None
    tables: tuple[Table, ...]
    build: Callable[[Means], Flow]


def _entries() -> list[Entry]:
    found = []
    for lane in Lane:
        found.append(Entry(f"route.{lane}", lane, route.TABLES, _route(lane)))
        for channel in CHANNELS:
            found.append(Entry(f"deliver.{channel}.{lane}", lane, deliver.TABLES, _deliver(channel, lane)))
        found.append(Entry(f"retry.{lane}", lane, retry.TABLES, _retry(lane)))
    found.append(Entry("record", None, record.TABLES, lambda m: record.flow(m.rows, m.ring)))
    found.append(Entry("record.preferences", None, (), lambda m: record.preferences_flow(m.rows, m.ring)))
    return found + [Entry(f"tap.{tap}", None, taps.tables_of(tap), _tap(tap)) for tap in taps.TAPS]


def _route(lane: Lane) -> Callable[[Means], Flow]:
    return lambda m: route.flow(lane, m.ring, m.settings.partitions)


def _retry(lane: Lane) -> Callable[[Means], Flow]:
    return lambda m: retry.flow(lane, m.ring)


def _deliver(channel: str, lane: Lane) -> Callable[[Means], Flow]:
    return lambda m: deliver.flow(channel, lane, m.provider(channel), m.templates, m.ring, m.settings.window)


def _tap(tap: str) -> Callable[[Means], Flow]:
    return lambda m: taps.flow(tap, m.ring)


FLOWS: Mapping[str, Entry] = {entry.name: entry for entry in _entries()}


def build(names: list[str], settings: Settings) -> list[Flow]:
    """The flows of these names. Raises Misconfigured for a name that is none."""
    unknown = [name for name in names if name not in FLOWS]
    if unknown:
        raise Misconfigured(f"no flow is called {', '.join(unknown)}: there are {', '.join(FLOWS)}")
    means = Means(settings)
    return [FLOWS[name].build(means) for name in names]


def of_lane(lane: Lane | None) -> list[str]:
    """The flows of a lane, in the order of the path; of None those beside it, which no sender waits for."""
    return [entry.name for entry in FLOWS.values() if entry.lane is lane]


def topics() -> list[Topic]:
    """The whole catalogue with every table's changelog."""
    logs = [
        changelog(entry.name, table.name, table.keep_s or 0)
        for entry in FLOWS.values()
        for table in entry.tables
        if table.kind is Kind.CHANGELOGGED
    ]
    return [*catalogue(), *logs]
