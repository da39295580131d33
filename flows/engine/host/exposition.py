"""The port of a process: `/metrics` for Prometheus, `/health` for the orchestrator (503 names what does not move)."""

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not news."""


def serve(host: str, port: int, registry: CollectorRegistry, health: Callable[[], dict[str, str]]) -> int:
    """Serve in a thread; returns the port."""
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        if environ["PATH_INFO"] == "/health":
            wrong = health()
            start("503 Service Unavailable" if wrong else "200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"ok": not wrong, "wrong": wrong}).encode()]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"try /metrics or /health\n"]

    server = make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)
