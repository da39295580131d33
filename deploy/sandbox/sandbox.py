"""The sandbox itself: takes a request that was read, writes its ledger row and says how it is to be answered."""

from __future__ import annotations

import time
from collections import Counter
from enum import Enum, auto
from typing import NamedTuple

from deploy.sandbox.exchange import Answer, Message, Provider, Request
from deploy.sandbox.fcm import Fcm
from deploy.sandbox.ledger import Ledger
from deploy.sandbox.oauth import OAuth, Tokens
from deploy.sandbox.rules import Rule, Script
from deploy.sandbox.sendgrid import SendGrid
from deploy.sandbox.twilio import Twilio


class Ending(Enum):
    WHOLE = auto()
    DRIP = auto()  # in pieces, over a time
    TRUNCATED = auto()  # half of it, then the end of the connection
    RESET = auto()  # a TCP reset instead of an answer
    HANG = auto()  # no answer, and none to any later request of the connection


class Plan(NamedTuple):
    """How one request is to be answered; `delay` and `over` in seconds."""

    answer: Answer
    ending: Ending = Ending.WHOLE
    delay: float = 0.0
    over: float = 0.0


_ENDINGS = {
    "hang": Ending.HANG,
    "accept_then_hang": Ending.HANG,
    "reset_after_read": Ending.RESET,
    "accept_then_reset": Ending.RESET,
    "drip": Ending.DRIP,
    "truncated": Ending.TRUNCATED,
}
_STATUS_TEXT = [str(status) for status in range(600)]


class Sandbox:
    """The providers, their scripts, the ledger and the counts. Knows nothing of sockets."""

    def __init__(self, ledger: Ledger, token_lifetime: float = 3599.0) -> None:
        """`token_lifetime` in seconds."""
        tokens = Tokens(token_lifetime)
        stands: tuple[Provider, ...] = (Twilio(), SendGrid(), Fcm(tokens), OAuth(tokens))
        self.ledger = ledger
        self.providers = {stand.name: stand for stand in stands}
        self.scripts = {stand.name: Script(stand) for stand in stands}
        self.answers: dict[str, Counter[str]] = {name: Counter() for name in self.providers}
        self.accepted: Counter[str] = Counter()
        self.started = time.monotonic()

    def provider_of(self, path: bytes) -> Provider | None:
        """The provider that the first segment of the path names."""
        return self.providers.get(path[1:].partition(b"/")[0].decode("latin-1"))

    def cuts_off(self, path: bytes) -> bool:
        """Whether the connection is to be reset now, with only the headers of a request for `path` read."""
        provider = self.provider_of(path)
        if provider is None or not self.scripts[provider.name].resets_before_read():
            return False
        self.answers[provider.name]["reset_before_read"] += 1
        return True

    def take(self, provider: Provider, request: Request) -> Plan:
        message = provider.read(request)
        script = self.scripts[provider.name]
        rule = script.choose(message.to_hash, message.ref) if script.rules else None
        if rule is None:
            self._record(provider, message, _STATUS_TEXT[message.answer.status], message.id is not None, 0.0)
            return Plan(message.answer)
        return self._follow(rule, script, provider, message)

    def _follow(self, rule: Rule, script: Script, provider: Provider, message: Message) -> Plan:
        answer = rule.answer() or message.answer
        ending = _ENDINGS.get(rule.then, Ending.WHOLE)
        named = _STATUS_TEXT[answer.status] if ending is Ending.WHOLE else rule.then
        accepted = message.id is not None and rule.accepted is not False
        delay = script.draw(rule.latency)
        self._record(provider, message, named, accepted, delay)
        return Plan(answer, ending, delay, rule.over_ms / 1000)

    def _record(self, provider: Provider, message: Message, answer: str, accepted: bool, delay: float) -> None:
        self.answers[provider.name][answer] += 1
        if accepted:
            self.accepted[provider.name] += 1
        if provider.channel is None:
            return
        self.ledger.add(
            {
                "t": time.time(),
                "t_mono": time.monotonic(),
                "provider": provider.name,
                "channel": provider.channel,
                "to_hash": message.to_hash,
                "body_hash": message.body_hash,
                "ref": message.ref,
                "answer": answer,
                "delay": round(delay, 3),
                "accepted": accepted,
                "id": message.id if accepted else None,
            }
        )
