"""Two messages to one provider get each other's words, once."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from agents.deliver import Last
from agents.provider import Message, Provider, Result
from agents.transport import Transport

Words = Mapping[str, str]


def plant() -> None:
    """Hold the first message back until a second one of its provider comes, and swap them."""
    send = Transport.send
    first: list[tuple[Provider, Words, asyncio.Future[Words]]] = []
    swapped: list[Message] = []

    async def swap(self: Transport, provider: Provider, message: Message, last: Last) -> Result:
        words = message.parts
        if not swapped and not first:
            first.append((provider, words, asyncio.get_running_loop().create_future()))
            words = await first[0][2]
        elif not swapped and first[0][0] is provider:
            swapped.append(message)
            _, words, other = first[0]
            other.set_result(message.parts)

        def swapped_at_last() -> Message | None:
            latest = last()
            return replace(latest, parts=words) if latest is not None else None

        return await send(self, provider, replace(message, parts=words), swapped_at_last)

    Transport.send = swap
