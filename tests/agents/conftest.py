"""Workers run on uvloop, tools on asyncio's own loop: what awaits a socket here must hold on both."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

SOCKETS = {"test_http_client.py", "test_bearer.py"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    plain = {"asyncio": asyncio.new_event_loop}
    return plain | {"uvloop": uvloop.new_event_loop} if item.path.name in SOCKETS else plain
