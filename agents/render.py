"""render: a template and params become the parts of a message. Mustache, each template parsed once.

A template is one JSON object in the bucket, `{template_id}/{version}.json` or `{template_id}/latest.json`:
`{"version": 3, "channels": {"sms": {"body": "Hello {{name}}"}, "email": {"subject": ..., "body": ..., "html": ...}}}`.
Only `html` is escaped. Numbers and truth values are written as JSON writes them. A param that is missing or no text,
number or truth is an error, because a message with a hole in it must not go. A template stands alone: no partials, no
change of delimiters. A tag that is not closed is an error, because people would read it.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Annotated, Any, Protocol

import msgspec
from pystache import Renderer
from pystache.context import KeyNotFoundError
from pystache.parser import ParsingError, parse
from pystache.renderengine import RenderEngine

from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.vocabulary import Reason

MAX_SOURCE_BYTES = 256 * 1024
"""Largest object taken for a template; a mail of over 102 kB is clipped by large mailbox providers."""
MAX_PART_CHARS = 1_000_000
"""Longest part of a message."""
_MAX_STEPS = 20_000
"""The most variables, sections and items of one part: some 60 ms of rendering."""
_MAX_REPEATED_CHARS = 50_000_000
"""The most that sections may repeat, as items times the length of the part."""
_MAX_NAME_CHARS = _MAX_BLANKS = 256
"""Longest name and run of blanks where pystache parses: its expressions take the square of their lengths."""


class _Engine(RenderEngine):  # type: ignore[misc]
    """Bounds what one rendering may make: params are 512 kB at most, sections multiply them."""

    items = steps = chars = 0
    """Items and steps that are left, and characters so far."""

    def step(self, count: int = 1) -> None:
        """Count variables, sections or items. Raises Malformed where they are too many."""
        self.steps -= count
        if self.steps < 0:
            raise Malformed(Reason.BAD_TEMPLATE, f"a part of over {_MAX_STEPS} variables, sections and items")

    def fetch_section_data(self, context: Any, name: str) -> list[Any]:
        """The items of a section. Raises Malformed where all sections together have too many."""
        data: list[Any] = super().fetch_section_data(context, name)
        self.step(len(data))
        self.items -= len(data)
        if self.items < 0:
            raise Malformed(Reason.BAD_TEMPLATE, "its sections repeat too often")
        return data

    def fetch_string(self, context: Any, name: str) -> str:
        """The text of a variable. Raises Malformed where all variables together are too long."""
        text: str = super().fetch_string(context, name)
        self.chars += len(text)
        if self.chars > MAX_PART_CHARS:
            raise _too_long()
        return text


class _Strict(Renderer):  # type: ignore[misc]
    """A renderer for one part. `length` is the part's."""

    def __init__(self, write: Callable[[str], str], length: int = 1) -> None:
        super().__init__(escape=write, missing_tags="strict", partials={})
        self._items = _MAX_REPEATED_CHARS // max(1, length)

    def _make_render_engine(self) -> _Engine:
        look_up = self._make_resolve_context()

        def counted(context: Any, name: str) -> Any:
            engine.step()
            return look_up(context, name)

        engine = _Engine(
            literal=self._to_unicode_hard,
            escape=self._escape_to_unicode,
            resolve_context=counted,
            resolve_partial=self._make_resolve_partial(),
            to_str=self.str_coerce,
        )
        engine.items, engine.steps = self._items, _MAX_STEPS
        return engine

    def str_coerce(self, val: object) -> str:
        """The text of a param that is none by itself, as JSON has it. Raises Malformed for what is no text."""
        if isinstance(val, bool | float):
            return msgspec.json.encode(val).decode()
        if isinstance(val, int):
            return str(val)
        raise Malformed(Reason.BAD_TEMPLATE, "a param is no text")


def _as_it_is(text: str) -> str:
    return text


_html = partial(escape, quote=True)
_Part = Callable[[Mapping[str, Any]], str]
"""Params -> text."""
_TAG = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""A variable; a part that has no other tags is put together without the renderer, at a tenth of its cost."""
_ODD = re.compile(r"\{\{|\}\}|\{$|^\}")
"""What a text between two variables holds if there are other tags."""
_BLANKS = re.compile(r"\s+")
_NO_TAG = "a tag is not closed, is empty or too long, or it is a partial or a change of delimiters"
_SHOWN_CHARS = 200
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
"""What would end a line, or be no character of one."""


class Source(msgspec.Struct):
    """A template as it lies in the bucket."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    channels: dict[str, dict[str, str]]


class Template:
    """A parsed template of one version."""

    __slots__ = ("_channels", "version")

    def __init__(self, source: Source) -> None:
        self.version = source.version
        self._channels: dict[str, dict[str, _Part]] = {
            channel: {name: _readable(channel, name, text) for name, text in parts.items()}
            for channel, parts in source.channels.items()
        }

    @classmethod
    def read(cls, body: bytes) -> "Template":
        """A template from its JSON. Raises Malformed(bad_template), whatever the body is."""
        if len(body) > MAX_SOURCE_BYTES:
            raise Malformed(Reason.BAD_TEMPLATE, f"{len(body)} bytes, at most {MAX_SOURCE_BYTES}")
        try:
            return cls(msgspec.json.decode(body, type=Source))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(Reason.BAD_TEMPLATE, type(error).__name__) from None

    def render(self, channel: str, params: Mapping[str, Any]) -> dict[str, str]:
        """The parts for a channel. Raises Malformed(bad_template), naming the missing param but none of its values."""
        parts = self._channels.get(channel)
        if parts is None or any(part not in parts for part in CHANNELS[channel].parts):
            raise Malformed(Reason.BAD_TEMPLATE, f"no parts for {channel}")
        try:
            return {part: render(params) for part, render in parts.items()}
        except Malformed as error:
            raise Malformed(error.reason, error.detail) from None
        except KeyNotFoundError as error:
            raise Malformed(Reason.BAD_TEMPLATE, f"no param {error.key}") from None
        except Exception as error:  # pystache raises whatever it runs into
            raise Malformed(Reason.BAD_TEMPLATE, type(error).__name__) from None


def _readable(channel: str, name: str, text: str) -> _Part:
    """What renders one part of a channel. Raises Malformed, which names the part."""
    try:
        return _part(channel, name, text)
    except ParsingError as error:
        why = str(error)
    except Exception as error:  # pystache raises whatever it runs into
        why = type(error).__name__
    raise Malformed(Reason.BAD_TEMPLATE, f"{channel}.{name}: {why}"[:_SHOWN_CHARS])


def _part(channel: str, name: str, text: str) -> _Part:
    write = _html if name == "html" else _as_it_is
    literals, names = _TAG.split(text)[::2], _TAG.findall(text)
    render: _Part
    if any(_ODD.search(literal) for literal in literals):
        _refuse_open_tags(text)
        parsed = parse(text, raise_on_mismatch=True)
        render = partial(_Strict(write, len(text)).render, parsed)
    else:
        render = _Variables(literals, names, write)
    one_line = channel in CHANNELS and name in CHANNELS[channel].one_line
    return _OneLine(render) if one_line else render


def _refuse_open_tags(text: str) -> None:
    """Raise ParsingError for what people would read as a tag, and for what pystache parses too slowly.

    Linear in the text's length, because the parser holds the whole process.
    """
    if any(len(run) > _MAX_BLANKS for run in _BLANKS.findall(text)):
        raise ParsingError(f"over {_MAX_BLANKS} blanks in a row")
    end = 0
    while (begin := text.find("{{", end)) >= 0:
        closing = "}}}" if text.startswith("{{{", begin) else "}}"
        inside = begin + len(closing)
        stop = text.find(closing, inside)
        if stop < 0 or text.find("}}", end, begin) >= 0 or not _is_tag(text[inside:stop]):
            raise ParsingError(_NO_TAG)
        end = stop + len(closing)
    if "}}" in text[end:]:
        raise ParsingError(_NO_TAG)


def _is_tag(inside: str) -> bool:
    """Whether a tag is a comment, or has a name and is neither a partial nor a change of delimiters."""
    if inside.startswith("!"):
        return True
    name = inside.strip()
    name = name[1:].lstrip() if name[:1] in {"#", "^", "/", "&"} else name
    return bool(name) and len(inside) <= _MAX_NAME_CHARS and not set("{}=>") & set(name)


def _too_long() -> Malformed:
    return Malformed(Reason.BAD_TEMPLATE, f"a part of over {MAX_PART_CHARS} characters")


class _OneLine:
    """A part that must keep to one line: a line break in a param would begin another header at some providers."""

    __slots__ = ("_render",)

    def __init__(self, render: _Part) -> None:
        self._render = render

    def __call__(self, params: Mapping[str, Any]) -> str:
        text = self._render(params)
        return text if text.isprintable() else _BREAKS.sub(" ", text)


class _Variables:
    """Text with variables alone."""

    __slots__ = ("_ends", "_pairs", "_renderer")

    def __init__(self, literals: list[str], names: list[str], write: Callable[[str], str]) -> None:
        self._pairs = list(zip(literals, names, strict=False))
        self._ends = literals[-1]
        self._renderer = _Strict(write)

    def __call__(self, params: Mapping[str, Any]) -> str:
        renderer, text = self._renderer, ""
        for literal, name in self._pairs:
            if name not in params:
                raise KeyNotFoundError(name, "there is no such param")
            value = params[name]
            text += literal + renderer.escape(value if isinstance(value, str) else renderer.str_coerce(value))
            if len(text) > MAX_PART_CHARS:
                raise _too_long()
        return text + self._ends


class Known(Protocol):
    """Where templates come from, without waiting: the cache in front of the bucket."""

    def peek(self, template_id: str, version: int | None) -> "Template | Reason | None":
        """The template, None while it is worth waiting for a moment, or a reason: for good, or TEMPLATE_UNAVAILABLE
        for now."""
