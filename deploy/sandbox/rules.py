"""The script of a provider: rules that say which requests get what, read from JSON and refused with words."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from deploy.sandbox.exchange import Answer, Provider
from deploy.sandbox.presets import PRESETS, EpochIn, Headers, encode_headers

RESET_BEFORE_READ = "reset_before_read"

# then -> whether the provider sends the message all the same; None: if the request deserves it
ENDINGS: dict[str, bool | None] = {
    "ok": None,
    "drip": None,
    "truncated": None,
    "accept_then_reset": None,
    "accept_then_hang": None,
    "hang": False,
    "reset_after_read": False,
    RESET_BEFORE_READ: False,
    "html_502": False,
    "status": False,
}

_Z99 = 2.3263478740408408  # the 99th percentile of the standard normal, in deviations
_DRIP_MS = 5000.0
_STATUSES = range(200, 600)
_FIELDS = frozenset(
    ("then", "rate", "match", "times", "latency_ms", "status", "code", "headers", "body", "accepted", "over_ms")
)
_HTML_502 = Answer(
    502,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    b"",
    b"text/html",
)


class RuleError(ValueError):
    """A rule that cannot be kept; the message says what to write instead."""


@dataclass(slots=True)
class Latency:
    """Milliseconds before the answer: always `p50`, or lognormal through `p50` and `p99`."""

    p50: float = 0.0
    p99: float | None = None

    def draw(self, dice: random.Random) -> float:
        """Seconds."""
        if self.p99 is None or self.p99 == self.p50:
            return self.p50 / 1000
        return dice.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _Z99) / 1000


@dataclass(slots=True)
class Rule:
    """One rule, checked. `times` counts down; `fault` is None where the request gets what it deserves."""

    then: str = "ok"
    rate: float = 1.0
    match: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    latency: Latency = field(default_factory=Latency)
    accepted: bool | None = None
    over_ms: float = _DRIP_MS
    fault: Answer | None = None
    headers: Headers = field(default_factory=dict)

    def answer(self) -> Answer | None:
        if self.fault is None or not self.headers:
            return self.fault
        return self.fault._replace(headers=encode_headers(self.headers))


class Script:
    """The rules of one provider and its own dice. The first rule that matches and whose draw falls is applied."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.rules: list[Rule] = []
        self._dice = random.Random()  # noqa: S311 - a rehearsal needs no cryptographic dice

    def seed(self, seed: int) -> None:
        self._dice.seed(f"{seed}:{self._provider.name}")

    def parse(self, rules: Any) -> list[Rule]:
        """Raises RuleError, naming the rule by its index."""
        if not isinstance(rules, list):
            raise RuleError('"rules" must be a list of objects')
        return [parse_rule(rule, index, self._provider) for index, rule in enumerate(rules)]

    def choose(self, to_hash: str | None, ref: str | None) -> Rule | None:
        """The rule for a request that was read."""
        seen = {"to_hash": to_hash, "ref": ref}
        for rule in self.rules:
            matches = all(seen[name] == value for name, value in rule.match.items())
            if rule.then != RESET_BEFORE_READ and matches and self._falls(rule):
                return rule
        return None

    def resets_before_read(self) -> bool:
        """Whether a request of which only the headers are known is cut off; no other rule is looked at."""
        return any(rule.then == RESET_BEFORE_READ and self._falls(rule) for rule in self.rules)

    def draw(self, latency: Latency) -> float:
        return latency.draw(self._dice)

    def describe(self) -> list[dict[str, Any]]:
        """The rules as they stand, `times` counted down."""
        shown = ("then", "rate", "match", "times", "latency")
        return [{name: value for name, value in asdict(rule).items() if name in shown} for rule in self.rules]

    def _falls(self, rule: Rule) -> bool:
        if rule.times == 0 or (rule.rate < 1 and self._dice.random() >= rule.rate):
            return False
        if rule.times is not None:
            rule.times -= 1
        return True


def parse_rule(rule: Any, index: int, provider: Provider) -> Rule:
    """Raises RuleError."""
    if not isinstance(rule, dict):
        raise RuleError(f"rule {index}: must be an object")
    if unknown := sorted(set(rule) - _FIELDS):
        raise RuleError(f"rule {index}: unknown {', '.join(unknown)}; known are {', '.join(sorted(_FIELDS))}")
    then = str(rule.get("then", "ok"))
    try:
        parsed = Rule(
            then=then,
            rate=_number(rule.get("rate", 1), "rate", 0, 1),
            match=_match(rule.get("match"), then),
            times=None if rule.get("times") is None else int(_number(rule["times"], "times", 0, 2**31)),
            latency=_latency(rule.get("latency_ms", 0)),
            over_ms=_number(rule.get("over_ms", _DRIP_MS), "over_ms", 0, 3.6e6),
        )
        _fill(parsed, rule, provider)
    except RuleError as error:
        raise RuleError(f"rule {index}: {error}") from error
    return parsed


def _fill(parsed: Rule, rule: dict[str, Any], provider: Provider) -> None:
    then, accepted = parsed.then, rule.get("accepted")
    if accepted is not None and not isinstance(accepted, bool):
        raise RuleError('"accepted" must be true or false')
    if then != "status" and (idle := sorted({"status", "code", "body"} & set(rule))):
        raise RuleError(f'{", ".join(idle)} without effect: they go with "then": "status"')
    if "headers" in rule and then != "status" and then not in PRESETS:
        raise RuleError('headers without effect: they go with "then": "status" or a named answer')
    if then == "html_502":
        parsed.fault = _HTML_502
    elif then == "status":
        parsed.headers = _headers(rule.get("headers", {}))
        parsed.fault = _status(rule, provider)
    elif preset := PRESETS.get(then):
        if preset.provider != provider.name:
            raise RuleError(f'"{then}" is an answer of {preset.provider}, not of {provider.name}')
        parsed.headers = {**preset.headers, **_headers(rule.get("headers", {}))}
        parsed.fault = provider.fault(preset.status, preset.code, preset.words)
    elif then not in ENDINGS:
        known = ", ".join([*ENDINGS, *(name for name, preset in PRESETS.items() if preset.provider == provider.name)])
        raise RuleError(f'unknown "then": {then}; known are {known}')
    parsed.accepted = ENDINGS.get(then, False) if accepted is None else accepted


def _status(rule: dict[str, Any], provider: Provider) -> Answer:
    status = rule.get("status")
    if not isinstance(status, int) or status not in _STATUSES:
        raise RuleError('"then": "status" needs a "status" from 200 to 599')
    code, body = rule.get("code"), rule.get("body")
    if body is None:
        try:
            return provider.fault(status, None if code is None else str(code))
        except ValueError as error:
            raise RuleError(f'"code" is none of {provider.name}: {code}') from error
    return Answer(status, body.encode() if isinstance(body, str) else orjson.dumps(body))


def _headers(headers: Any) -> Headers:
    if not isinstance(headers, dict):
        raise RuleError('"headers" must be an object of strings')
    parsed: Headers = {}
    for name, value in headers.items():
        if isinstance(value, dict) and set(value) == {"epoch_in"}:
            parsed[name] = EpochIn(_number(value["epoch_in"], "epoch_in", -1e9, 1e9))
        elif isinstance(value, str | int) and "\n" not in f"{name}{value}" and "\r" not in f"{name}{value}":
            parsed[name] = str(value)
        else:
            raise RuleError(f'header {name} must be one line of text, or {{"epoch_in": seconds}}')
    return parsed


def _match(match: Any, then: Any) -> dict[str, str]:
    if match is None:
        return {}
    if then == RESET_BEFORE_READ:
        raise RuleError(f'"{then}" cuts a request off before it is read, so it cannot "match"')
    known: Sequence[str] = ("to_hash", "ref")
    if not isinstance(match, dict) or any(name not in known or not isinstance(match[name], str) for name in match):
        raise RuleError('"match" takes {"to_hash": sha256 hex} or {"ref": text}')
    return match


def _latency(latency: Any) -> Latency:
    if not isinstance(latency, dict):
        return Latency(_number(latency, "latency_ms", 0, 3.6e6))
    if set(latency) != {"p50", "p99"}:
        raise RuleError('"latency_ms" takes a number or {"p50": ms, "p99": ms}')
    p50, p99 = (_number(latency[name], name, 0.001, 3.6e6) for name in ("p50", "p99"))
    if p99 < p50:
        raise RuleError('"latency_ms": p99 must not be below p50')
    return Latency(p50, p99)


def _number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RuleError(f'"{name}" must be a number from {low:g} to {high:g}')
    return float(value)
