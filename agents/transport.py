"""The only door to providers: one message in, at most one network send, one result out.

There is no retry here, hidden or open: the engine's is the only one. A provider's fault is a value, never an exception.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from agents.bearer import Bearer
from agents.http_client import HttpClient
from agents.provider import Call, Kind, Message, Provider, Reply, Result
from agents.resolver import Resolver

UNAUTHORISED = 401


class Transport:
    """Connections and tokens of each provider. `now` gives UTC seconds, `clock` seconds that never go back."""

    def __init__(
        self,
        providers: Iterable[Provider],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = tuple(providers)
        self._now = now
        self._clock = clock
        self._clients: dict[str, HttpClient] = {}
        self._bearers: dict[str, Bearer] = {}

    async def start(self) -> None:
        """Make the clients and ask for the first tokens, without waiting for them."""
        resolver = Resolver()
        for provider in self._providers:
            self._clients[provider.name] = HttpClient(provider.window, now=self._now, resolver=resolver)
            if credential := provider.credential():
                client = HttpClient(1, now=self._now, resolver=resolver)
                bearer = Bearer(credential, client, self._now, self._clock)
                self._bearers[provider.name] = bearer
                bearer.refresh()

    async def stop(self) -> None:
        """Close every connection. Calls still in flight end as their tasks do: let them end, or cancel them, first."""
        for bearer in self._bearers.values():
            await bearer.close()
        for client in self._clients.values():
            client.close()

    async def send(self, provider: Provider, message: Message, last: Callable[[], Message | None]) -> Result:
        """What the one call came to, or why none was made.

        A token and a connection are awaited first. `last` is asked after that, with nothing awaited between its answer
        and the first byte: the message as it is then, or None: then no call is made. Answers within the message's ttl,
        and within the call's own timeout once there is a token. What is cancelled before that is known not to be sent.
        """
        leaving = False

        def leave() -> Message | None:
            nonlocal leaving
            latest = last()
            leaving = latest is not None
            return latest

        try:
            return await self._sent(provider, message, leave)
        except asyncio.CancelledError:
            if leaving:
                raise
            return Result(Kind.UNAVAILABLE, provider.name, "not_started")

    async def _sent(self, provider: Provider, message: Message, last: Callable[[], Message | None]) -> Result:
        until = self._clock() + message.ttl_s
        bearer = self._bearers.get(provider.name)
        held = await bearer.token(message.ttl_s) if bearer else None
        if isinstance(held, Result):
            return held
        try:
            call = provider.call(message, held)
        except (KeyError, ValueError, TypeError):
            return Result(Kind.REJECTED_REQUEST, provider.name, "message_unfit")

        def as_it_is_now() -> Call | None:
            latest = last()
            return call if latest is message else provider.call(latest, held) if latest is not None else None

        left_s = min(call.timeout_s, until - self._clock())
        answer = await self._clients[provider.name].exchange(call, left_s, as_it_is_now)
        result = provider.read(answer)
        if bearer and held and isinstance(answer, Reply) and answer.status == UNAUTHORISED and bearer.drop(held):
            result = replace(result, kind=Kind.UNAVAILABLE, reason="token_expired")
        return result
