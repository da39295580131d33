from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.sandbox.presets import PRESETS

ROOT = Path(__file__).parents[3]


def run(*arguments):
    command = [sys.executable, "-m", "deploy.sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_half_a_second_and_frees_the_port(start, number):
    box = start()
    box.behave("twilio", {"then": "hang"})
    with box.connect() as idle, box.connect() as waiting:
        waiting.sendall(b"POST /twilio/2010-04-01/Accounts/A/Messages.json HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert box.admin("GET", "/health")
        begun = time.monotonic()
        assert box.end(number) == (0, "")
        assert time.monotonic() - begun < 0.5
        assert idle.fileno() > 0
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", box.port))


def test_a_taken_port_is_refused_with_words(box):
    done = run("--port", str(box.port))
    assert done.returncode == 1
    assert done.stderr == f"sandbox: port {box.port} of 127.0.0.1 is taken: stop what holds it or name another\n"


def test_a_taken_ledger_is_refused_with_words(start, tmp_path):
    path = str(tmp_path / "l.jsonl")
    start("--ledger", path)
    done = run("--port", "0", "--ledger", path)
    assert (done.returncode, "another sandbox writes to" in done.stderr) == (1, True)


def test_it_listens_on_the_loopback_alone(box):
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    hosts = {line.split()[1].split(":")[0] for line in listening if f":{box.port:04X} 00000000:0000" in line}
    assert hosts == {"0100007F"}


def test_help_teaches_every_path_rule_and_preset():
    text = run("--help").stdout
    for word in [*PRESETS, "/twilio/", "/sendgrid/", "/fcm/", "/oauth/token", "/admin/behave", "rate", "epoch_in"]:
        assert word in text


def test_a_ledger_that_takes_no_more_ends_it_before_it_answers(start, tmp_path):
    box = start("--ledger", str(tmp_path / "l.jsonl"))
    resource.prlimit(box.process.pid, resource.RLIMIT_FSIZE, (600, 600))
    assert box.sms().status == 201
    with pytest.raises(ConnectionError):
        box.sms()
    box.process.wait(timeout=2)
    code, errors = box.end()
    assert code == 1
    assert "File too large" in errors


def test_a_ledger_that_is_no_file_is_refused_with_words():
    done = run("--port", "0", "--ledger", "/dev/null")
    assert (done.returncode, done.stderr) == (1, "sandbox: the ledger /dev/null is no regular file; name one\n")
