"""A sandbox process of the test's own, spoken to over real sockets."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).parents[3]
ACCOUNT = "AC00000000000000000000000000000001"
MESSAGES = f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Box:
    """One running sandbox."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "deploy.sandbox", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("sandbox ready on http://127.0.0.1:"), self.end()
        self.url = first.split()[3]
        self.port = int(self.url.rpartition(":")[2])

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 5
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def sms(self, timeout: float = 5, user: str = ACCOUNT, path: str = MESSAGES, **changes: str | None) -> Reply:
        """Send an SMS; a change to None leaves the field out."""
        fields = {"To": "+15551234567", "From": "+15550001111", "Body": "Your code is 123456", **changes}
        form = urlencode({name: value for name, value in fields.items() if value is not None})
        secret = base64.b64encode(f"{user}:secret".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"}
        return self.call("POST", path, form.encode(), headers, timeout)

    def admin(self, method: str, path: str, value: Any = None) -> Any:
        reply = self.call(method, path, b"" if value is None else json.dumps(value).encode())
        assert reply.status == 200, reply.body
        return reply.json()

    def behave(self, provider: str, *rules: dict[str, Any]) -> None:
        self.admin("POST", "/admin/behave", {"provider": provider, "rules": list(rules)})

    def total(self) -> int:
        total: int = self.admin("GET", "/admin/counts")["ledger_total"]
        return total

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin("GET", f"/admin/ledger?since={since}")["rows"]
        return rows

    def connect(self, timeout: float = 5) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        _, errors = self.process.communicate(timeout=5)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[Callable[..., Box]]:
    """Start sandboxes with the given arguments; all end with the test."""
    boxes: list[Box] = []

    def begin(*arguments: str) -> Box:
        boxes.append(Box(*arguments))
        return boxes[-1]

    yield begin
    for box in boxes:
        box.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box("--ledger", str(tmp_path_factory.mktemp("sandbox") / "ledger.jsonl"))
    yield box
    code, errors = box.end()
    assert (code, errors) == (0, "")


@pytest.fixture
def box(shared_box: Box) -> Iterator[Box]:
    """The shared sandbox, well behaved again after the test."""
    yield shared_box
    shared_box.admin("DELETE", "/admin/behave")
