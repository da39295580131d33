"""render: a template and params become the parts of a message. Mustache, each template parsed once.

A template is one JSON object in the bucket, `{template_id}/{version}.json` or `{template_id}/latest.json`:
`{"version": 3, "channels": {"sms": {"body": "Hello {{name}}"}, "email": {"subject": ..., "body": ..., "html": ...}}}`.
Only `html` is escaped; a missing param is an error, because a message with a hole in it must not go.
"""

from collections.abc import Mapping
from html import escape
from typing import Any, Protocol

import msgspec
from pystache import Renderer
from pystache.context import KeyNotFoundError
from pystache.parser import ParsedTemplate, ParsingError, parse

from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.vocabulary import Reason

_plain = Renderer(escape=lambda text: text, missing_tags="strict")
_html = Renderer(escape=lambda text: escape(text, quote=True), missing_tags="strict")


class Source(msgspec.Struct):
    """A template as it lies in the bucket."""

    version: int
    channels: dict[str, dict[str, str]]


class Template:
    """A parsed template of one version."""

    __slots__ = ("_channels", "version")

    def __init__(self, source: Source) -> None:
        self.version = source.version
        self._channels: dict[str, dict[str, ParsedTemplate]] = {
            channel: {part: parse(text) for part, text in parts.items()} for channel, parts in source.channels.items()
        }

    @classmethod
    def read(cls, body: bytes) -> "Template":
        """A template from its JSON. Raises Malformed(bad_template)."""
        try:
            return cls(msgspec.json.decode(body, type=Source))
        except (msgspec.MsgspecError, ParsingError, UnicodeDecodeError) as error:
            raise Malformed(Reason.BAD_TEMPLATE, type(error).__name__) from None

    def render(self, channel: str, params: Mapping[str, Any]) -> dict[str, str]:
        """The parts for a channel. Raises Malformed(bad_template), naming the missing param but none of its values."""
        parts = self._channels.get(channel)
        if parts is None or any(part not in parts for part in CHANNELS[channel].parts):
            raise Malformed(Reason.BAD_TEMPLATE, f"no parts for {channel}")
        try:
            return {
                part: (_html if part == "html" else _plain).render(parsed, params) for part, parsed in parts.items()
            }
        except KeyNotFoundError as error:
            raise Malformed(Reason.BAD_TEMPLATE, f"no param {error.key}") from None


class Known(Protocol):
    """Where templates come from, without waiting: the cache in front of the bucket."""

    def peek(self, template_id: str, version: int | None) -> "Template | Reason | None":
        """The template; NO_TEMPLATE or BAD_TEMPLATE for good; TEMPLATE_UNAVAILABLE for now; None while it is fetched."""
