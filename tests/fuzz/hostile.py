"""What producers control, drawn by Hypothesis: sound records, broken a little or altogether.

A record that is only noise ends at the decoder. So most records begin as sound ones, and then one to three fields are
replaced by what faults were found with: other types, other scripts, control characters, sizes at a limit.
"""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from schemas import topics
from schemas.vocabulary import Lane

SECRET = "S3cr3tW0rd"
"""Stands in addresses and params; nothing that leaves a stage in plain text may hold it."""
PHONE, MAILBOX, DEVICE = "+4915112345678", f"{SECRET}@example.org", f"device-{SECRET}-0001"
TEMPLATES = ("one", "two")
USERS = ("ada", "bob")

Header = tuple[str, bytes | None]

_SCRIPTS = ("İı", "ß", "Ǆ", "٣", "𝟘", "\u202e", "\ufeff", "\u0000", "\u001f", "/", "%", "\r\n", "\ud800", "é\u0301")
_WORDS = ("", "a", "SMS", "Orders", "*", "best", "null", "a/b", "ada@example..org", "<ada@example.org>", "+٤٩")
_SIZES = (64, 255, 256, 257, 5_000)
TEXTS = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(_SCRIPTS).map(lambda odd: f"x{odd}y"),
    st.builds(lambda odd, count: odd * count, st.sampled_from("aß𝟘/\u001f"), st.sampled_from(_SIZES)),
    st.text(max_size=20),
)
NUMBERS = st.one_of(
    st.sampled_from((0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 1.0, 1e21, -0.0, 1e308, 10**400)),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.just("2020-01-01T00:00:00")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
DEEP = st.sampled_from((50, 900, 20_000)).map(lambda depth: "[" * depth + "]" * depth)


@dataclass(frozen=True, slots=True)
class Written:
    """One record as a producer writes it; its partition follows from its key, unless `astray`."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    astray: bool = False


_MOMENTS = ("2099-01-01T00:00:00+00:00", "2020-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59")
_PLACES = (b"notifications.high/0/1", b"notifications.high/-1/99999999999999999999", b"a/b/c/d")
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("origin", "to", "due", "traceparent", "x", "", "ø")),
        st.one_of(
            st.none(),
            st.sampled_from((*_PLACES, b"", b"\xff\xfe", b"checkout-service", b"1e3", b"statuses")),
            st.binary(max_size=12),
        ),
    ),
    max_size=3,
).map(tuple)
_KEYS = st.one_of(st.just("own"), st.none(), st.binary(max_size=8), st.sampled_from((b"a\x1fb", b"\x00" * 3_000)))
_USERS = st.sampled_from(USERS)


def _asked(lane: Lane) -> st.SearchStrategy[dict[str, Any]]:
    classes = ("marketing",) if lane is Lane.LOW else ("otp", "transactional", "billing")
    return st.fixed_dictionaries(
        {
            "tenant": st.just("acme"),
            "idempotency_key": st.sampled_from(("k1", "k2", "k3")),
            "user_id": _USERS,
            "channels": st.sampled_from(("best", "sms", "email", "push", ["sms", "email"], ["push"])),
            "category": st.sampled_from(("orders", "Orders", "news")),
            "class": st.sampled_from(classes),
            "template_id": st.sampled_from(TEMPLATES),
            "params": st.dictionaries(st.sampled_from(("code", "name", "items")), st.one_of(st.just(SECRET), VALUES)),
        },
        optional={
            "deadline": st.sampled_from(
                ("2099-01-01T00:00:00+00:00", "2020-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59")
            ),
            "collapse_key": TEXTS,
            "template_version": st.sampled_from((1, 2, 2**40)),
            "produced_at": st.just("2026-01-01T00:00:00Z"),
        },
    )


def known_users() -> list[Written]:
    """Everybody's sound preference: who is reached on every channel and refuses `news` by email."""
    where = {"sms": PHONE, "email": MAILBOX, "push": DEVICE}
    addresses = [{"channel": channel, "address": address} for channel, address in where.items()]
    told = {
        "tenant": "acme",
        "version": 1,
        "addresses": addresses,
        "opt_outs": [{"channel": "email", "category": "news"}],
    }
    bodies = {user: json.dumps(told | {"user_id": user}).encode() for user in USERS}
    return [Written(topics.PREFERENCES.name, user.encode(), body) for user, body in bodies.items()]


def _preferred() -> st.SearchStrategy[dict[str, Any]]:
    channels = st.one_of(st.sampled_from(("sms", "email", "push", "*")), TEXTS)
    plain = st.sampled_from((("sms", PHONE), ("email", MAILBOX), ("push", DEVICE), ("push", f"{DEVICE}-two")))
    address = st.one_of(
        plain.map(lambda found: {"channel": found[0], "address": found[1]}),
        st.fixed_dictionaries({"channel": channels, "address": TEXTS}),
        st.fixed_dictionaries({"channel": channels, "sealed": st.sampled_from(("", "AAAA", "!")), "hash": TEXTS}),
    )
    opt_out = st.fixed_dictionaries({"channel": channels, "category": TEXTS}, optional={"out": st.booleans()})
    return st.fixed_dictionaries(
        {
            "tenant": st.just("acme"),
            "user_id": _USERS,
            "version": st.one_of(st.integers(1, 5), NUMBERS),
            "addresses": st.lists(address, max_size=4),
            "opt_outs": st.lists(opt_out, max_size=3),
        },
        optional={
            "preferred": st.lists(channels, max_size=4),
            "locale": TEXTS,
            "time_zone": TEXTS,
            "home_region": TEXTS,
        },
    )


_OTHERS = ("schema", "round", "tries", "sealed_params", "accepted_ms", "due_ms", "x")


@st.composite
def _body(draw: st.DrawFn, sound: st.SearchStrategy[dict[str, Any]]) -> tuple[str, bytes | None]:
    """A user id and a record's value: sound, with some fields replaced, cut, wrapped, or noise."""
    body = draw(sound)
    user, fate = str(body["user_id"]), draw(st.integers(0, 19))
    if fate < 8:
        for _ in range(draw(st.integers(1, 3))):
            name = draw(
                st.sampled_from((*body, "schema", "round", "tries", "sealed_params", "accepted_ms", "due_ms", "x"))
            )
            if draw(st.booleans()):
                body[name] = draw(VALUES)
            else:
                body.pop(name, None)
        user = body["user_id"] if isinstance(body.get("user_id"), str) else user
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if fate == 19:
        return user, draw(st.one_of(st.none(), st.binary(max_size=40), DEEP.map(str.encode)))
    if fate == 18:
        return user, draw(st.sampled_from(_framed(text)))
    return user, text


def _framed(text: bytes) -> tuple[bytes, ...]:
    """A sound record as foreign clients and serializers write it, or cut short."""
    plain = text.decode("utf-8", "replace")
    return (
        text[:-3],
        b"\xef\xbb\xbf" + text,
        b"\x00\x00\x00\x00\x07" + text,
        plain.encode("utf-16"),
        json.dumps(plain).encode(),
        b'{"specversion":"1.0","data":' + text + b"}",
    )


@st.composite
def records(draw: st.DrawFn) -> Written:
    """One record on a topic of producers; seldom on one that is the engine's."""
    lane = draw(st.sampled_from(Lane))
    of = draw(st.integers(0, 9))
    if of < 3:
        topic, sound = topics.PREFERENCES.name, _preferred()
    elif of < 9:
        topic, sound = topics.notifications(lane).name, _asked(lane)
    else:
        engines = (topics.misplaced(lane), topics.returns(lane), topics.retries(lane, "1s"))
        topic, sound = draw(st.sampled_from(engines)).name, _asked(lane)
    user, value = draw(_body(sound))
    key = draw(_KEYS) if draw(st.integers(0, 4)) == 0 else "own"
    own = user.encode("utf-8", "surrogatepass") if key == "own" else key
    return Written(topic, own, value, draw(_HEADERS), draw(st.integers(0, 9)) == 0)  # type: ignore[arg-type]


_TAGS = st.sampled_from((
    *("{{code}}", "{{name}}", "{{{name}}}", "{{&name}}", "{{a.b.c}}", "{{ code }}", "{{code", "{{}}", "}}", "{"),
    *("{{#items}}x{{.}}{{/items}}", "{{^items}}none{{/items}}", "{{#items}}", "{{/items}}"),
    *("{{=x=}}", "{{=<% %>=}}", "{{> other}}", "{{! note }}", "\r\n", "Hello "),
    "{{#items}}{{#items}}x{{/items}}{{/items}}",
))  # fmt: skip
_PARTS = st.lists(st.one_of(_TAGS, TEXTS), max_size=4).map("".join)


@st.composite
def templates(draw: st.DrawFn) -> bytes:
    """A template's object in the bucket."""
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.one_of(st.binary(max_size=30), DEEP.map(str.encode), VALUES.map(lambda v: json.dumps(v).encode()))
        )
    part = st.one_of(st.just("Your code is {{code}}"), _PARTS)
    names = {"sms": ("body",), "email": ("subject", "body", "html"), "push": ("title", "body")}
    channels: Any = {channel: {name: draw(part) for name in parts} for channel, parts in names.items()}
    body: dict[str, Any] = {"version": draw(st.one_of(st.just(1), NUMBERS)), "channels": channels}
    if draw(st.integers(0, 5)) == 0:
        body[draw(st.sampled_from(("version", "channels", "x")))] = draw(VALUES)
    return json.dumps(body).encode()
