"""The port of a process: `/metrics` for Prometheus; `/live` and `/ready` for the orchestrator, 503 names what is wrong.

Not live: only another start can mend it. Not ready: flows without their partitions or tables, or a server that they
depend on is silent; the process goes on by itself once that is over.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

Check = Callable[[], Mapping[str, str]]
"""What is wrong, by flow, dependency or `process`; empty where nothing is."""

log = logging.getLogger("carillon.engine")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away before it had its answer, mostly."""
        error = sys.exception()
        log.warning("request_failed", extra={"error": type(error).__name__})


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not news."""


def serve(host: str, port: int, registry: CollectorRegistry, live: Check, ready: Check) -> int:
    """Serve in a thread; returns the port."""
    metrics = make_wsgi_app(registry)
    checks = {"/live": live, "/ready": ready}

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        if path in checks:
            wrong = checks[path]()
            start("503 Service Unavailable" if wrong else "200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"ok": not wrong, "wrong": wrong}).encode()]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"try /metrics, /live or /ready\n"]

    server = make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)
