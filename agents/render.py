"""render: a template and params become the parts of a message. Mustache, each template parsed once.

A template is one JSON object in the bucket, `{template_id}/{version}.json` or `{template_id}/latest.json`:
`{"version": 3, "channels": {"sms": {"body": "Hello {{name}}"}, "email": {"subject": ..., "body": ..., "html": ...}}}`.
Only `html` is escaped; a param that is missing or no text, number or truth is an error, because a message with a hole
in it must not go. A template stands alone: there are no partials, and nothing is read from a disk.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any, Protocol

import msgspec
from pystache import Renderer
from pystache.common import TemplateNotFoundError
from pystache.context import KeyNotFoundError
from pystache.parser import ParsingError, parse

from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.vocabulary import Reason


class _Strict(Renderer):  # type: ignore[misc]
    def str_coerce(self, val: object) -> str:
        """The text of a param that is none by itself."""
        if val is None or isinstance(val, dict | list):
            raise Malformed(Reason.BAD_TEMPLATE, "a param is no text")
        return str(val)


_plain = _Strict(escape=lambda text: text, missing_tags="strict", partials={})
_html = _Strict(escape=lambda text: escape(text, quote=True), missing_tags="strict", partials={})
_Part = Callable[[Mapping[str, Any]], str]
"""Params -> text."""
_TAG = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""A variable; a part that has no other tags is put together without the renderer, at a tenth of its cost."""
_ODD = re.compile(r"\{\{|\}\}|\{$|^\}")
"""What a text between two variables holds if there are other tags."""
_OPENS, _CLOSES = re.compile(r"\{\{\s*[#^]"), re.compile(r"\{\{\s*/")


class Source(msgspec.Struct):
    """A template as it lies in the bucket."""

    version: int
    channels: dict[str, dict[str, str]]


class Template:
    """A parsed template of one version."""

    __slots__ = ("_channels", "version")

    def __init__(self, source: Source) -> None:
        self.version = source.version
        self._channels: dict[str, dict[str, _Part]] = {
            channel: {part: _part(part, text) for part, text in parts.items()}
            for channel, parts in source.channels.items()
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
            return {part: render(params) for part, render in parts.items()}
        except KeyNotFoundError as error:
            raise Malformed(Reason.BAD_TEMPLATE, f"no param {error.key}") from None
        except TemplateNotFoundError:
            raise Malformed(Reason.BAD_TEMPLATE, "there are no partials") from None


def _part(name: str, text: str) -> _Part:
    """What renders one part. Raises ParsingError."""
    renderer = _html if name == "html" else _plain
    literals, names = _TAG.split(text)[::2], _TAG.findall(text)
    if not any(_ODD.search(literal) for literal in literals):
        return _Variables(literals, names, renderer)
    if len(_OPENS.findall(text)) != len(_CLOSES.findall(text)):
        raise ParsingError("a section is not closed")
    return partial(renderer.render, parse(text))


class _Variables:
    """Text with variables alone."""

    __slots__ = ("_ends", "_pairs", "_renderer")

    def __init__(self, literals: list[str], names: list[str], renderer: _Strict) -> None:
        self._pairs = list(zip(literals, names, strict=False))
        self._ends = literals[-1]
        self._renderer = renderer

    def __call__(self, params: Mapping[str, Any]) -> str:
        renderer, text = self._renderer, ""
        for literal, name in self._pairs:
            if name not in params:
                raise KeyNotFoundError(name, "there is no such param")
            value = params[name]
            text += literal + renderer.escape(value if isinstance(value, str) else renderer.str_coerce(value))
        return text + self._ends


class Known(Protocol):
    """Where templates come from, without waiting: the cache in front of the bucket."""

    def peek(self, template_id: str, version: int | None) -> "Template | Reason | None":
        """The template, None while it is fetched, or a reason: for good, or TEMPLATE_UNAVAILABLE for now."""
