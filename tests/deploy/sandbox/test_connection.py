from __future__ import annotations

import json
import socket
import time
from collections import deque
from itertools import repeat

import pytest

AUTH = "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTpzZWNyZXQ="
PATH = "/twilio/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json"


def sms(number, extra=""):
    body = f"To=%2B1555{number:07}&From=%2B15550001111&Body=hi&StatusCallback=http%3A%2F%2Fus%2F%3Fref%3Dn-{number}"
    head = f"POST {PATH} HTTP/1.1\r\nAuthorization: Basic {AUTH}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def read_answers(client, count):
    """`count` answers as (status, headers, body), and what came after them."""
    data, answers = b"", []
    while len(answers) < count:
        head, mark, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:]) if mark else {}
        length = int(headers.get("content-length", 0))
        if mark and len(rest) >= length:
            answers.append((int(lines[0].split()[1]), headers, rest[:length]))
            data = rest[length:]
            continue
        received = client.recv(1 << 16)
        assert received, f"closed after {len(answers)} answers"
        data += received
    return answers, data


def recipients(answers):
    return [json.loads(body)["to"] for _, _, body in answers]


def test_200_requests_in_one_breath_are_answered_in_order(box):
    since = box.total()
    with box.connect() as client:
        client.sendall(b"".join(sms(number) for number in range(200)))
        answers, rest = read_answers(client, 200)
    assert recipients(answers) == [f"+1555{number:07}" for number in range(200)]
    assert rest == b""
    assert [row["ref"] for row in box.rows(since)] == [f"n-{number}" for number in range(200)]


def test_a_slow_answer_holds_back_the_later_ones_of_its_connection(box):
    box.behave(
        "twilio",
        {"match": {"ref": "n-1"}, "latency_ms": 200},
        {"match": {"ref": "n-3"}, "then": "drip", "over_ms": 100},
    )
    with box.connect() as client:
        client.sendall(b"".join(sms(number) for number in range(5)))
        answers, _ = read_answers(client, 5)
    assert recipients(answers) == [f"+1555{number:07}" for number in range(5)]


def test_a_request_that_comes_amid_a_drip_waits_for_its_end(box):
    box.behave("twilio", {"match": {"ref": "n-1"}, "then": "drip", "over_ms": 200})
    with box.connect() as client:
        client.sendall(sms(1))
        client.recv(1, socket.MSG_PEEK)
        client.sendall(sms(2))
        answers, rest = read_answers(client, 2)
    assert recipients(answers) == ["+15550000001", "+15550000002"]
    assert rest == b""


def test_requests_behind_a_hang_are_read_and_not_answered(box):
    box.behave("twilio", {"match": {"ref": "n-1"}, "then": "hang"})
    since = box.total()
    with box.connect(timeout=0.3) as client:
        client.sendall(b"".join(sms(number) for number in range(3)))
        _, rest = read_answers(client, 1)
        assert rest == b""
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert [row["answer"] for row in box.rows(since)] == ["201", "hang", "201"]


def test_a_request_may_come_byte_by_byte(box):
    with box.connect() as client:
        for byte in sms(1):
            client.sendall(bytes([byte]))
        answers, _ = read_answers(client, 1)
    assert answers[0][0] == 201


def test_a_chunked_body_is_read(box):
    body = b"To=%2B15551234567&From=%2B15550001111&Body=hi"
    with box.connect() as client:
        client.sendall(
            f"POST {PATH} HTTP/1.1\r\nAuthorization: Basic {AUTH}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + b"a\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (body[:10], len(body) - 10, body[10:])
        )
        assert read_answers(client, 1)[0][0][0] == 201


def test_a_client_that_asks_to_close_is_closed(box):
    with box.connect() as client:
        client.sendall(sms(1, "Connection: close\r\n"))
        answers, rest = read_answers(client, 1)
        assert (answers[0][0], answers[0][1]["connection"], rest + client.recv(1)) == (201, "close", b"")


def test_a_dripped_last_answer_closes_too(box):
    box.behave("twilio", {"then": "drip", "over_ms": 50})
    with box.connect() as client:
        client.sendall(sms(1, "Connection: close\r\n"))
        assert (read_answers(client, 1)[0][0][0], client.recv(1)) == (201, b"")


@pytest.mark.parametrize(
    "noise",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_malformed_http_is_400_and_the_end(box, noise):
    with box.connect() as client:
        client.sendall(noise)
        assert read_answers(client, 1)[0][0][0] == 400
        assert client.recv(1) == b""


def test_an_upgrade_is_refused_and_not_in_the_ledger(box):
    since = box.total()
    with box.connect() as client:
        client.sendall(sms(1) + sms(2, "Connection: Upgrade\r\nUpgrade: h2c\r\n"))
        (first, second), _ = read_answers(client, 2)
        assert (first[0], second[0], client.recv(1)) == (201, 400, b"")
    assert b"no upgrades" in second[2]
    assert [row["ref"] for row in box.rows(since)] == ["n-1"]


def test_what_was_sound_before_the_nonsense_is_answered(box):
    with box.connect() as client:
        client.sendall(sms(1) + sms(2) + b"nonsense\r\n\r\n")
        assert [status for status, _, _ in read_answers(client, 3)[0]] == [201, 201, 400]


@pytest.mark.parametrize("framing", ["Content-Length: 1048577", "Transfer-Encoding: chunked"])
def test_a_body_over_a_mebibyte_is_413_and_not_in_the_ledger(box, framing):
    since = box.total()
    with box.connect() as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\n{framing}\r\n\r\n".encode())
        body = b"x" * 1048577
        client.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if "chunked" in framing else body)
        assert read_answers(client, 1)[0][0][0] == 413
        assert client.recv(1) == b""
    assert box.total() == since


def test_a_body_of_a_mebibyte_is_read(box):
    assert box.call("POST", PATH, b"x" * 1048576).status == 401


def test_an_announced_body_over_a_mebibyte_is_413_before_it_comes(box):
    with box.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n")
        assert read_answers(client, 1)[0][0][0] == 413


def test_a_client_that_reads_no_answers_is_read_no_further(box):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.settimeout(0.3)
        client.connect(("127.0.0.1", box.port))
        ask = b"GET /twilio/ HTTP/1.1\r\nX-Padding: %s\r\n\r\n" % (b"x" * 500) * 100
        with pytest.raises(TimeoutError):
            deque(map(client.sendall, repeat(ask, 100_000)), maxlen=0)
        read = box.total()
        time.sleep(0.2)
        assert box.total() == read


def test_a_client_that_leaves_before_its_answer_disturbs_nobody(box):
    box.behave("twilio", {"latency_ms": 50, "then": "drip", "over_ms": 100})
    for _ in range(20):
        with box.connect() as client:
            client.sendall(sms(1))
    box.admin("DELETE", "/admin/behave")
    assert box.sms().status == 201
