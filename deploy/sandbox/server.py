"""The process: one socket, one loop, a clean stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from deploy.sandbox.admin import Admin
from deploy.sandbox.connection import Connection, Hall
from deploy.sandbox.ledger import Ledger
from deploy.sandbox.sandbox import Sandbox

_BACKLOG = 1024


class PortTaken(Exception):
    """Another process holds the port."""


async def serve(host: str, port: int, ledger_file: Path | None, token_lifetime: float) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code, 1 after an error in the sandbox itself.

    Raises PortTaken, OSError for a host it cannot bind, and LedgerError.
    """
    ledger = Ledger(ledger_file)
    sandbox = Sandbox(ledger, token_lifetime)
    hall = Hall(Admin(sandbox).take, sandbox.cuts_off, ledger.flush)
    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _stop_on_signal_or_error(stop)
    server = await _listen(hall, host, port)
    address = server.sockets[0].getsockname()
    sys.stdout.write(f"sandbox ready on http://{address[0]}:{address[1]} (pid {os.getpid()})\n")
    sys.stdout.flush()
    gc.freeze()
    try:
        return await stop
    finally:
        server.close()
        for connection in list(hall.open):
            connection.abort()
        ledger.close()


async def _listen(hall: Hall, host: str, port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(lambda: Connection(hall), host, port, backlog=_BACKLOG)
    except OSError as error:
        if "in use" in str(error):
            raise PortTaken(f"port {port} of {host} is taken: stop what holds it or name another") from error
        raise


def _stop_on_signal_or_error(stop: asyncio.Future[int]) -> None:
    def end(code: int) -> None:
        if not stop.done():
            stop.set_result(code)

    def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A stand-in that went wrong proves nothing: say why and end."""
        error = context.get("exception")
        sys.stderr.write(f"sandbox: {context['message']}: {type(error).__name__ if error else 'no exception'}\n")
        if error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        end(1)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, 0)
