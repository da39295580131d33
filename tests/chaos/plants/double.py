"""One provider call in CHAOS_ONE_IN is made twice, as by a client that retries on its own."""

import os
from itertools import count

from agents.deliver import Last
from agents.provider import Message, Provider, Result
from agents.transport import Transport


def plant() -> None:
    """Let the door to providers send the same message once more."""
    send, one_in, numbers = Transport.send, int(os.environ.get("CHAOS_ONE_IN", "100000")), count(1)

    async def twice(self: Transport, provider: Provider, message: Message, last: Last) -> Result:
        if next(numbers) % one_in == 0:
            await send(self, provider, message, last)
        return await send(self, provider, message, last)

    Transport.send = twice
