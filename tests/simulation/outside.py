"""The world outside Kafka: a provider that takes, refuses or leaves one in doubt, templates, and the store of rows."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agents.provider import Kind, Message, Provider, Result
from agents.render import Template
from flows.clients import Answer
from flows.engine.kafka.fetched import Fetched
from flows.engine.state.changelog import unpack
from schemas.keys import HOME_BYTES, delivery_key
from schemas.topics import changelog
from schemas.vocabulary import Reason
from tables import attempts
from tests.simulation.clockwork import Clockwork, Life
from tests.simulation.traffic import DEAD_PHONE
from tests.simulation.weather import Weather

OUTCOMES = {
    Kind.ACCEPTED: 60,
    Kind.UNAVAILABLE: 15,
    Kind.THROTTLED: 5,
    Kind.AMBIGUOUS: 12,
    Kind.REJECTED_REQUEST: 4,
}
ATTEMPTS = changelog("deliver.sms.high", attempts.TABLE.name, attempts.TABLE.keep_s or 0).name


@dataclass
class Call:
    """One call as the provider saw it. `sent` is what really happened, whatever the caller came to know."""

    ref: str
    address: str
    kind: Kind
    sent: bool
    announced: bool


@dataclass
class Sms:
    """The provider, who keeps a ledger of all calls and knows whether each attempt was durable before it."""

    clockwork: Clockwork
    weather: Weather
    name: ClassVar[str] = "sandbox"
    channel: ClassVar[str] = "sms"
    window: int = 64
    calls: list[Call] = field(default_factory=list)
    _announced: set[tuple[bytes, int, int]] = field(default_factory=set)

    def hear(self, record: Fetched) -> None:
        """What lands in the attempts' changelog is durable."""
        if record.topic == ATTEMPTS:
            for key, entry in unpack(record.value or b"").items():
                attempt = attempts.unpack(entry or b"")
                self._announced.add((key[HOME_BYTES:], attempt.round, attempt.number))

    async def answer(self, message: Message) -> Result:
        """Take a call at once, answer it later."""
        draw, life = self.clockwork.draw, self.clockwork.life
        assert life is not None, "a process calls"
        kind = Kind.UNAVAILABLE if self.weather.outage() else draw.choices(list(OUTCOMES), list(OUTCOMES.values()))[0]
        if message.address == DEAD_PHONE:
            kind = Kind.REJECTED_RECIPIENT
        sent = kind is Kind.ACCEPTED or (kind is Kind.AMBIGUOUS and draw.random() < 0.5)
        id_, channel, round_, number = message.ref.split(".")
        key = delivery_key(id_, channel, "")
        announced = (key, int(round_), int(number)) in self._announced
        self.calls.append(Call(message.ref, message.address, kind, sent, announced))
        life.point()
        await asyncio.sleep(self.weather.call_s())
        return Result(
            kind,
            self.name,
            kind.value,
            retry_after_s=draw.choice((0.5, 3.0)) if kind is Kind.THROTTLED else None,
            suppress=kind is Kind.REJECTED_RECIPIENT,
        )


class Transport:
    """The door to it, in place of HTTP."""

    def __init__(self, sms: Sms) -> None:
        self._sms = sms

    async def start(self) -> None:
        """Nothing is held."""

    async def stop(self) -> None:
        """Nothing is held."""

    async def send(self, provider: Provider, message: Message, last: Callable[[], Message | None]) -> Result:
        latest = last()
        if latest is None:
            return Result(Kind.UNAVAILABLE, provider.name, "stopped")
        return await self._sms.answer(latest)


class Shelf:
    """Templates, which are not always here yet."""

    _template = Template.read(b'{"version": 1, "channels": {"sms": {"body": "{{code}}"}}}')

    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    def peek(self, template_id: str, version: int | None) -> Template | Reason | None:
        return None if self._weather.missing() else self._template

    def warm(self) -> int:
        """Nothing is fetched before it is asked for."""
        return 0

    def failing_s(self) -> float:
        """No store stands behind it that could be away."""
        return 0.0

    def close(self) -> None:
        """There is nothing to end."""


class Rows:
    """The store of rows: it takes them at once, or a part of them, and may be long in saying so."""

    logs, preferences = "logs", "preferences"

    def __init__(self, clockwork: Clockwork, weather: Weather) -> None:
        self._clockwork, self._weather = clockwork, weather
        self.kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Every version that was written of a notification's row, in order."""

    async def put(self, table: str, items: Sequence[dict[str, Any]]) -> Answer:
        thinks_s = self._weather.store_s()
        untaken = [place for place in range(len(items)) if self._weather.untaken()]
        if table == self.logs:
            taken = [item for place, item in enumerate(items) if place not in untaken]
            self._clockwork.at(thinks_s / 2, self._keep, None, self._clockwork.life, taken)
        await asyncio.sleep(thinks_s)
        return Answer(again=untaken)

    def _keep(self, sender: Life, items: Sequence[dict[str, Any]]) -> None:
        """What was sent lands, even while its sender stands still; with a process its connections end."""
        if sender.alive:
            for item in items:
                self.kept[item["notification_id"]["S"]].append(item)

    async def raise_rank(self, item: dict[str, Any]) -> Answer:
        raise AssertionError("no row is older than its fold here")
