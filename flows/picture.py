"""The topology as text, from the flows themselves: what each reads, through which agents, and what it writes."""

from collections.abc import Callable, Iterable
from itertools import groupby
from types import SimpleNamespace
from typing import Any, cast

from flows import roster
from flows.engine.flow import Chain, Flow
from flows.settings import Settings
from schemas.sealing import KeyRing
from schemas.topics import Topic
from tables.table import Table


class _Nothing(roster.Means):
    """Means for flows that are looked at and never run: no keys, no provider, no template, no server."""

    def __init__(self) -> None:
        self.settings, self.ring = Settings(), KeyRing({1: bytes(32)}, bytes(32))

    @property
    def templates(self) -> Any:
        """None is asked for."""
        return SimpleNamespace(warm=None, failing_s=None)

    @property
    def rows(self) -> Any:
        """None is written."""
        return SimpleNamespace(logs="", preferences="")

    def provider(self, channel: str) -> Any:
        """One that is not called."""
        return SimpleNamespace(window=1)


def picture() -> str:
    """Every flow of the roster, in its order. Needs no setting, key or broker."""
    means = _Nothing()
    return "\n".join(_drawn(entry.build(means)) for entry in roster.FLOWS.values())


def _drawn(flow: Flow) -> str:
    lines = [flow.name, f"  lane    {flow.lane or 'none'}"]
    lines += [f"  reads   {topic.name} > {_named(stage)}" for topic, stage in flow.stages.items()]
    lines += [f"  table   {_described(table)}" for table in flow.tables]
    if flow.outside is not None:
        settle = _own_name(flow.outside.settle)
        lines += [f"  outside {' > '.join(filter(None, (_last_name(flow.outside.perform), settle)))}"]
    lines += [f"  writes  {name}" for name in _gathered(flow.writes)]
    return "\n".join(lines) + "\n"


def _named(stage: object) -> str:
    agents: Iterable[object] = stage.agents if isinstance(stage, Chain) else (stage,)
    return " > ".join(_own_name(agent) for agent in agents)


def _own_name(function: object) -> str:
    """The verb of an agent: of `route.<locals>.agent` it is route, of `Deliver.stage` deliver, of a lambda none."""
    name = cast(Callable[..., object], function).__qualname__
    return "" if name.endswith("<lambda>") else name.partition(".")[0].lower()


def _last_name(function: object) -> str:
    return cast(Callable[..., object], function).__qualname__.rpartition(".")[2]


def _described(table: Table) -> str:
    kept = f", {table.keep_s // 3600} h" if table.keep_s else ""
    return f"{table.name} ({table.kind}{kept})"


def _gathered(topics: Iterable[Topic]) -> list[str]:
    """Topic names, those that differ in their last part only as one: `retries.high.{1s,2s}`."""
    found = []
    for head, group in groupby((topic.name for topic in topics), key=lambda name: name.rpartition(".")[0]):
        tails = [name.removeprefix(f"{head}.") for name in group]
        found += tails if not head else [f"{head}.{tails[0] if len(tails) == 1 else '{' + ','.join(tails) + '}'}"]
    return found
