"""What a request costs the sandbox: it shares the machine with the engine it measures."""

from __future__ import annotations

import json
import os
import selectors
from pathlib import Path

import pytest

from deploy.sandbox.oauth import Tokens

REQUESTS = 5000
CONNECTIONS = 32
LIMIT = 150  # microseconds of CPU, four to five times what is measured: this is a net, the printed figure is the news

ACCOUNT = "AC00000000000000000000000000000001"
AUTH = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTpzZWNyZXQ="
REF = "7d444840-9dc0-51d1-b245-5ffdce74fad2"
FORM = (
    "To=%2B15551234567&From=%2B15550001111&Body=Your+code+is+123456.+It+expires+in+5+minutes.&ValidityPeriod=300"
    f"&StatusCallback=https%3A%2F%2Fhooks.example.com%2Ftwilio%3Fref%3D{REF}"
)
MAIL = {
    "personalizations": [{"to": [{"email": "ann@example.com"}], "custom_args": {"ref": REF}}],
    "from": {"email": "us@example.com"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Dear Ann " * 30}, {"type": "text/html", "value": "<p>Ann</p>" * 60}],
}
PUSH = {"message": {"token": "d" * 150, "notification": {"title": "t", "body": "hello"}, "data": {"ref": REF}}}


def request(path, auth, kind, body):
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        f"User-Agent: a client\r\nAuthorization: {auth}\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n\r\n"
    )
    return (head + body).encode()


REQUEST = {
    "twilio": lambda: request(
        f"/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json", AUTH, "application/x-www-form-urlencoded", FORM
    ),
    "sendgrid": lambda: request("/sendgrid/v3/mail/send", "Bearer SG.test", "application/json", json.dumps(MAIL)),
    "fcm": lambda: request(
        "/fcm/v1/projects/demo/messages:send", f"Bearer {Tokens(600).issue()}", "application/json", json.dumps(PUSH)
    ),
}


def cpu_seconds(pid):
    """User and system time of a process, to the kernel's tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(box, ask, count):
    """`count` requests or a few more, one at a time on each connection."""
    done, clients = 0, selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        client = box.connect()
        clients.register(client, selectors.EVENT_READ)
        client.sendall(ask)
    while done < count:
        for key, _ in clients.select(timeout=5):
            answer = key.fileobj.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 20"), answer
            done += 1
            key.fileobj.sendall(ask)
    for key in list(clients.get_map().values()):
        key.fileobj.close()
    clients.close()
    return done


@pytest.mark.parametrize("provider", REQUEST)
def test_a_request_costs_little_cpu(start, tmp_path, provider):
    box = start("--ledger", str(tmp_path / "l.jsonl"))
    ask = REQUEST[provider]()
    drive(box, ask, 500)
    before = cpu_seconds(box.process.pid)
    done = drive(box, ask, REQUESTS)
    cost = (cpu_seconds(box.process.pid) - before) / done
    print(f"\n{provider}: {cost * 1e6:.0f} us of CPU a request, {1 / cost:,.0f} requests a CPU second")
    assert cost * 1e6 < LIMIT
