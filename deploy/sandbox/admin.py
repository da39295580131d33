"""The sandbox's own side: /health and /admin/..., JSON both ways."""

from __future__ import annotations

import os
import time
from typing import Any

import orjson

from deploy.sandbox.exchange import Answer, Request, parse_form
from deploy.sandbox.rules import RuleError
from deploy.sandbox.sandbox import Plan, Sandbox

_MESSAGING = ("twilio", "sendgrid", "fcm")
_PATHS = (
    "GET /health, GET /admin/ledger?since=N&limit=M, GET /admin/counts, GET|POST|DELETE /admin/behave, "
    "POST /admin/seed, and the providers under /twilio, /sendgrid, /fcm, /oauth"
)


class Refused(Exception):
    """An admin request that cannot be done; the message says what to send instead."""


class Admin:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._doors = {
            (b"GET", b"/health"): self._health,
            (b"GET", b"/admin/ledger"): self._ledger,
            (b"GET", b"/admin/counts"): self._counts,
            (b"GET", b"/admin/behave"): self._script,
            (b"POST", b"/admin/behave"): self._behave,
            (b"DELETE", b"/admin/behave"): self._reset,
            (b"POST", b"/admin/seed"): self._seed,
        }

    def take(self, request: Request) -> Plan:
        """The plan for any request: the providers' by their scripts, all else here and at once."""
        provider = self._sandbox.provider_of(request.path)
        if provider is not None:
            return self._sandbox.take(provider, request)
        door = self._doors.get((request.method, request.path))
        if door is None:
            return Plan(_words(404, f"no such place here; known are {_PATHS}"))
        try:
            return Plan(door(request))
        except (Refused, RuleError) as error:
            return Plan(_words(400, str(error)))

    def _health(self, request: Request) -> Answer:
        uptime = time.monotonic() - self._sandbox.started
        return _json({"status": "ok", "pid": os.getpid(), "uptime_s": round(uptime, 3)})

    def _ledger(self, request: Request) -> Answer:
        query = parse_form(request.query)
        since, limit = _index(query, b"since", 0), _index(query, b"limit", None)
        rows, after = self._sandbox.ledger.rows(since or 0, limit)
        return Answer(200, b'{"total":%d,"next":%d,"rows":%s}' % (len(self._sandbox.ledger), after, rows))

    def _counts(self, request: Request) -> Answer:
        """Since the start of the process; `read` leaves out what was cut off before it was read."""
        counts: dict[str, Any] = {"ledger_total": len(self._sandbox.ledger)}
        for name, answers in self._sandbox.answers.items():
            read = sum(count for answer, count in answers.items() if answer != "reset_before_read")
            counts[name] = {"read": read, "accepted": self._sandbox.accepted[name], "answers": answers}
        return _json(counts)

    def _script(self, request: Request) -> Answer:
        return _json({name: script.describe() for name, script in self._sandbox.scripts.items()})

    def _behave(self, request: Request) -> Answer:
        wish = _object(request)
        provider = wish.get("provider")
        if provider != "*" and (not isinstance(provider, str) or provider not in self._sandbox.scripts):
            raise Refused('"provider" must be twilio, sendgrid, fcm, oauth, or * for the first three')
        scripts = [self._sandbox.scripts[name] for name in (_MESSAGING if provider == "*" else (provider,))]
        parsed = [script.parse(wish.get("rules")) for script in scripts]
        for script, rules in zip(scripts, parsed, strict=True):
            script.rules = rules
        return self._script(request)

    def _reset(self, request: Request) -> Answer:
        for script in self._sandbox.scripts.values():
            script.rules = []
        return self._script(request)

    def _seed(self, request: Request) -> Answer:
        seed = _object(request).get("seed")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise Refused('send {"seed": whole number}')
        for script in self._sandbox.scripts.values():
            script.seed(seed)
        return _json({"seed": seed})


def _json(value: Any) -> Answer:
    return Answer(200, orjson.dumps(value))


def _words(status: int, error: str) -> Answer:
    return Answer(status, orjson.dumps({"error": error}))


def _object(request: Request) -> dict[str, Any]:
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object")
    return value


def _index(query: dict[bytes, bytes], name: bytes, default: int | None) -> int | None:
    if name not in query:
        return default
    text = query[name].decode("latin-1")
    if not text.isdecimal():
        raise Refused(f'"{name.decode()}" must be a whole number from 0')
    return int(text)
