"""A provider's bearer token: kept while it is valid, renewed beside the calls that use it."""

import asyncio
from collections.abc import Callable

from agents.http_client import HttpClient
from agents.provider import Credential, Kind, Result, Token

RENEW_AT = 0.8
"""The part of its life after which a token is renewed while it still serves."""
FRESH_S = 10.0
"""A token refused within its first seconds is not stale: the account is at fault, and a new one would not help."""
PAUSE_S = 1.0
"""After a failed request for a token the next one waits so long."""


class Bearer:
    """At most one request for a token is under way. `now` gives UTC seconds, `clock` seconds that never go back."""

    def __init__(
        self, credential: Credential, client: HttpClient, now: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._credential = credential
        self._client = client
        self._now = now
        self._clock = clock
        self._token: Token | None = None
        self._since = 0.0
        self._renewal: asyncio.Task[None] | None = None
        self._failure: Result | None = None
        self._failed_at = 0.0

    async def token(self, patience_s: float) -> str | Result:
        """A valid token, at once if there is one; a Result if there is none within `patience_s`."""
        age_s = self._clock() - self._since
        if self._token is not None and age_s < self._token.expires_in_s * RENEW_AT:
            return self._token.value
        renewal = self.refresh()
        if self._token is not None and age_s < self._token.expires_in_s:
            return self._token.value
        if renewal is not None:
            await asyncio.wait({renewal}, timeout=patience_s)
        if self._token is not None and self._clock() - self._since < self._token.expires_in_s:
            return self._token.value
        return self._failure or Result(Kind.UNAVAILABLE, self._credential.provider, "token_unavailable")

    def refresh(self) -> asyncio.Task[None] | None:
        """Begin to renew, unless that is under way or has just failed."""
        if self._renewal is not None and not self._renewal.done():
            return self._renewal
        if self._failure is not None and self._clock() - self._failed_at < PAUSE_S:
            return None
        self._renewal = asyncio.create_task(self._renew())
        return self._renewal

    def drop(self, refused: str) -> bool:
        """Forget a token that the provider refused. False if it was fresh: then the next would be refused as well."""
        if self._token is None or self._token.value != refused:
            return True
        if self._clock() - self._since < FRESH_S:
            return False
        self._token = None
        return True

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
        self._client.close()

    async def _renew(self) -> None:
        # Signing takes a millisecond of computing: not on the loop.
        call = await asyncio.to_thread(self._credential.call, self._now())
        asked = self._clock()
        found = self._credential.read(await self._client.exchange(call, call.timeout_s))
        if isinstance(found, Token):
            self._token, self._since, self._failure = found, asked, None
        else:
            self._failure, self._failed_at = found, self._clock()
