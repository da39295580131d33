"""A flow as Faust's own commands see it: `faust -A flows.route:high agents` lists what it reads, and why.

Such an app asks for no broker and is never run: only a whole process keeps what a flow promises.
"""

import inspect
import os
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from agents.provider import Provider
from flows.engine.flow import Flow
from flows.engine.host.process import Host, app_of
from flows.engine.seams import EngineApp
from flows.settings import Settings
from schemas.errors import Misconfigured
from schemas.sealing import KeyRing


def throw_away_ring() -> KeyRing:
    """Keys for a flow that is looked at: nothing is sealed with them."""
    return KeyRing({1: os.urandom(32)}, os.urandom(32))


def no_provider() -> Provider:
    """Stands for the provider of a flow that is looked at: nothing is called."""
    return cast(Provider, SimpleNamespace(name="none", window=1))


def view(flow: Flow, purpose: str | None) -> EngineApp:
    """The flow's app with one agent for each topic; the first line of `purpose` is their help."""
    settings = Settings.from_environment()
    app = app_of(flow, Host(settings.worker, settings.kafka, settings.state, throw_away_ring(), settings.partitions))
    app.conf.Worker = cast(Any, _refuse)
    for topic in flow.stages:
        read = app.topic(topic.name, key_type=bytes, value_type=bytes)
        app.agent(read, name=f"{flow.name}/{topic.name}")(_agent(purpose or ""))
    return app


def _agent(purpose: str) -> Callable[[Any], Awaitable[None]]:
    """Stands for the engine's agent, which runs batches of all topics."""

    async def look(stream: Any) -> None: ...

    look.__doc__ = inspect.cleandoc(purpose).split("\n", 1)[0]
    return look


def _refuse(*_: object, **__: object) -> NoReturn:
    raise Misconfigured("flows are run by `carillon worker FLOW...`: tables and calls are durable only there")
