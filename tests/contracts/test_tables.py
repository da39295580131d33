"""What every table promises, for each file in tables/ and each tap that remembers something."""

from base64 import b64encode
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import agents.taps
import tables
from agents.provider_reading import LONGEST_WAIT_S
from agents.record import FOLD_FOR_MS
from flows import roster
from schemas import topics
from schemas.discovery import modules
from schemas.keys import address_suppression, user_key
from schemas.sealing import KeyRing
from schemas.topics import Cleanup
from schemas.vocabulary import Lane
from tables.dedup import WINDOW_S
from tables.table import Kind, Source, Table

OWN = [found for found in modules(tables) if hasattr(found, "TABLE")]
MODULES = OWN + [
    tap for tap in modules(agents.taps) if hasattr(tap, "TABLE") and tap.TABLE not in [found.TABLE for found in OWN]
]
RULES_S = {"dedup": WINDOW_S, "attempts": LONGEST_WAIT_S, "progress": FOLD_FOR_MS / 1000}
"""What a table must remember at least: the window, the longest wait between attempts, the age of a fold."""

every_table = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.TABLE.name)


def a_ring() -> KeyRing:
    """A ring whose nonces come again, so that equal calls give equal bytes."""
    return KeyRing({1: bytes(32)}, bytes(32), randomness=bytes)


def an_example(kind: Any) -> Any:
    """A value of a type as msgspec describes it, every field filled in."""
    match kind:
        case msgspec.inspect.StructType():
            return kind.cls(**{each.name: an_example(each.type) for each in kind.fields})
        case msgspec.inspect.ListType():
            return [an_example(kind.item_type)] * 2
        case msgspec.inspect.UnionType():
            return an_example(kind.types[0])
        case msgspec.inspect.Metadata():
            return an_example(kind.type)
    plain = {
        msgspec.inspect.StrType: "0a" * 16,  # as long as a hash
        msgspec.inspect.BytesType: b"\x00bytes",
        msgspec.inspect.BoolType: True,
    }
    return plain.get(type(kind), 7)


def test_there_are_tables() -> None:
    assert {"dedup", "preferences", "attempts", "suppressions", "progress"} <= {m.TABLE.name for m in MODULES}


@every_table
def test_a_table_is_named_like_its_file(module: ModuleType) -> None:
    assert module.TABLE.name == module.__name__.rpartition(".")[2]


@every_table
def test_a_table_says_where_its_truth_is(module: ModuleType) -> None:
    table: Table = module.TABLE
    if table.kind is Kind.CHANGELOGGED:
        assert (table.source, table.fold) == (None, None)
        assert table.keep_s is not None, "an entry that stays for ever makes its changelog grow for ever"
    else:
        assert table.source is not None
        assert table.source.cleanup is Cleanup.COMPACT
        assert table.fold is not None
        assert table.keep_s is None


@every_table
def test_a_table_keeps_its_entries_longer_than_its_rule_needs_them_and_its_changelog_as_long(
    module: ModuleType,
) -> None:
    table: Table = module.TABLE
    if table.kind is Kind.CHANGELOGGED:
        assert (table.keep_s or 0) >= RULES_S.get(table.name, 0)
        logs = [t for t in roster.topics() if t.name.endswith(f"-{table.name}-changelog")]
        assert logs
        assert {log.retention_s for log in logs} == {table.keep_s}


@every_table
def test_an_entry_survives_packing_and_comes_out_the_same_each_time(module: ModuleType) -> None:
    decoder = getattr(getattr(module, "unpack", None), "__self__", None)
    if isinstance(decoder, msgspec.msgpack.Decoder):
        entry = an_example(msgspec.inspect.type_info(decoder.type))
        assert module.unpack(module.pack(entry)) == entry
        assert module.pack(entry) == module.pack(entry)


FOLDED = [module for module in MODULES if module.TABLE.fold is not None]
SOME = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
FIELDS = ["tenant", "user_id", "version", "addresses", "opt_outs", "channel", "key", "blocked", "reason", "since_ms"]
JSON = st.recursive(
    SOME, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner), max_leaves=12
)
HUGE = {"tenant": "t", "user_id": "u", "key": "k", "blocked": True, "reason": "r"}
AT_MS = 1_800_000_000_000
ANY_INT = st.integers() | st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63)])
WORDS = st.text(max_size=4) | st.sampled_from(
    ["*", "sms", "email", "push", "\x1f", "\ud7ff", "\U0010ffff", "é" * 300, "news"]
)
ADDRESSES = st.fixed_dictionaries(
    {"channel": WORDS},
    optional={
        "address": WORDS | st.just("+4917600000001") | st.just("ada@example.org"),
        "sealed": st.binary(max_size=40).map(lambda raw: b64encode(raw).decode()) | WORDS,
        "hash": WORDS,
        "verified": st.booleans(),
    },
)
CHOICES = st.fixed_dictionaries({}, optional={"channel": WORDS, "category": WORDS, "out": st.booleans()})
SAID = st.fixed_dictionaries(
    {
        "tenant": WORDS,
        "user_id": WORDS,
        "version": ANY_INT,
        "key": WORDS,
        "blocked": st.booleans(),
        "reason": WORDS,
        "since_ms": ANY_INT,
    },
    optional={
        "schema": ANY_INT,
        "addresses": st.lists(ADDRESSES, max_size=3),
        "opt_outs": st.lists(CHOICES, max_size=3),
        "preferred": st.lists(WORDS, max_size=3),
        "locale": WORDS,
        "accepted_ms": ANY_INT,
    },
)
"""Records that each of the tables takes for its own, but for what is odd in them."""


@pytest.mark.parametrize("table", [module.TABLE for module in FOLDED], ids=[m.TABLE.name for m in FOLDED])
@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=20),
    st.binary(max_size=60) | JSON.map(msgspec.json.encode) | SAID.map(msgspec.json.encode) | st.none(),
    st.just(AT_MS) | st.integers(-(2**63), 2**63 - 1),
)
@example(b"", b"[" * 50_000, AT_MS)
@example(b"", b'{"x":' + b"[" * 50_000, AT_MS)
@example(b"", msgspec.json.encode({**HUGE, "version": 2**63 - 1, "since_ms": 2**63 - 1}), AT_MS)
@example(b"", msgspec.json.encode({**HUGE, "version": -(2**63), "since_ms": -(2**63)}), AT_MS)
@example(b"", b'{"tenant":"t","user_id":"u","version":99999999999999999999999999}', AT_MS)
@example(b"", b'{"key":"k","blocked":true,"reason":"r","since_ms":99999999999999999999999999}', AT_MS)
def test_a_fold_takes_anything_and_gives_the_same_each_time(
    table: Table, key: bytes, value: bytes | None, at_ms: int
) -> None:
    found = folded(table, key, value, None, at_ms)
    assert found == folded(table, key, value, None, at_ms)
    if found is not None:
        assert isinstance(found[0], bytes)
        assert isinstance(found[1], bytes)
        assert folded(table, key, value, found[1], at_ms) == found, "a restore may begin before what a store has seen"


def folded(
    table: Table, key: bytes, value: bytes | None, standing: bytes | None, at_ms: int
) -> tuple[bytes, bytes | None] | None:
    """The key and the entry after a record, or None for one of no use."""
    assert table.fold is not None
    found = table.fold.read(Source(key, value, at_ms, 0, 1))
    return found and (found[0], table.fold.after(found[1], standing, a_ring()))


def test_no_key_of_a_table_leaves_its_tenant() -> None:
    assert user_key("shop", "anna") != user_key("bank", "anna")
    assert address_suppression("shop", "hash", "*") != address_suppression("bank", "hash", "*")
    assert topics.returns(Lane.HIGH).key == "user_id"
