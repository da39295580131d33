import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

import flows.engine.guarded
from agents.stage import Input, Later, Outbox, Tables
from flows.engine.culprits import MOST
from flows.engine.flow import Flow, Outside
from flows.engine.guarded import Guarded, TooLarge, measure
from flows.engine.kafka.fetched import Fetched
from flows.engine.state.tables import View
from schemas import metrics
from schemas.records import MAX_RECORD_BYTES
from schemas.topics import Topic

ASKED, OUT, DEAD = Topic("asked", "key", None), Topic("out", "key", None), Topic("dead", "position", None)
TOO_MUCH = bytes(MAX_RECORD_BYTES + 1)


class Nothing:
    """A store with nothing in it."""

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [None for _ in keys]


class OneTable:
    """The tables of a flow: `own`, which has a changelog."""

    def views(self, earlier: Tables | None = None) -> Any:
        return {"own": View(Nothing(), earlier and earlier["own"])}  # type: ignore[arg-type]

    def logged_by(self, views: Any) -> list[tuple[str, Mapping[bytes, bytes | None]]]:
        return [("own", views["own"].writes)]


def record(value: bytes | None, offset: int = 0, key: bytes | None = b"k") -> Fetched:
    return Fetched("asked", 0, offset, 1, key, value, [("h", b"v")])


def stage(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> Later | None:
    """Does what each record says."""
    for index, one in enumerate(batch):
        what, _, _ = (one.value or b"").partition(b" ")
        if what == b"later":
            return Later(index, 99)
        if what == b"raise":
            raise ValueError("a secret")
        tables["own"][b"\0\0%d" % one.offset] = TOO_MUCH if what == b"entry" else b"1"
        outbox.send(OUT, one.key, TOO_MUCH if what == b"large" else one.value)
    return None


def bury(one: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
    outbox.send(DEAD, b"%d" % one.offset, b"%s %s" % (detail.encode(), one.value or b"-"), one.headers or None)


def guarded(bury: Callable[..., None] = bury, outside: Outside | None = None) -> Guarded:
    return Guarded(Flow("toy", None, {ASKED: stage}, bury, outside=outside), OneTable())


def written(outbox: Outbox) -> list[tuple[str, bytes | None]]:
    return [(topic, value if value is None else value[:40]) for topic, _, value, _, _ in outbox.records]


def test_what_fits_is_written_as_one() -> None:
    views, outbox, later = guarded().run("asked", [record(b"a"), record(b"b", 1), record(b"later", 2)])
    assert (written(outbox), later) == ([("out", b"a"), ("out", b"b")], Later(2, 99))
    assert views["own"].writes == {b"\0\x000": b"1", b"\0\x001": b"1"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("what", "detail"),
    [
        (b"raise", b"ValueError"),
        (b"large", b"too large for out: 1000002 bytes, 1000000 are the most"),
        (b"entry", b"too large for the table own: 1000004 bytes, 1000000 are the most"),
    ],
)
def test_what_one_record_leads_to_gives_way_to_its_burial_and_the_others_go_their_way(
    what: bytes, detail: bytes
) -> None:
    batch = [record(b"a"), record(what, 1), record(b"b", 2), record(b"later", 3)]
    views, outbox, later = guarded().run("asked", batch)
    assert [*zip(*outbox.records, strict=True)][:3] == [
        ("out", "dead", "out"),
        (b"k", b"1", b"k"),
        (b"a", detail + b" " + what, b"b"),
    ]
    assert later == Later(3, 99)
    assert list(views["own"].writes) == [b"\0\x000", b"\0\x002"]  # type: ignore[attr-defined]


def test_records_that_lead_to_too_large_ones_are_no_fault_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.engine.guarded, "die", lambda why, error, code: sys.exit(code))
    guard = guarded()
    _, outbox, _ = guard.run("asked", [record(b"large", offset) for offset in range(MOST + 5)])
    assert outbox.tally == {(metrics.OVERSIZE, ("toy",)): MOST + 5}
    with pytest.raises(SystemExit, match="78"):
        guard.run("asked", [record(b"raise", offset) for offset in range(MOST + 5)])


def test_a_burial_that_is_too_large_or_raises_goes_without_the_body_and_at_last_by_position_alone() -> None:
    def with_body(one: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        bury(one, detail, tables, outbox)
        if one.value is not None:
            outbox.send(DEAD, one.key, TOO_MUCH)

    def with_headers(one: Input, detail: str, tables: Tables, outbox: Outbox) -> None:
        bury(one, detail, tables, outbox)
        if one.headers:
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "")

    for way, headers in ((with_body, [("h", b"v")]), (with_headers, None)):
        _, outbox, _ = guarded(way).run("asked", [record(b"raise", 7)])
        assert outbox.records == [("dead", b"7", b"ValueError -", -1, headers)]
        assert outbox.tally == {(metrics.CULPRITS, ("toy",)): 1}


def an_outside(bury: Any = None) -> Outside:
    def settle(results: Sequence[Any], tables: Tables, outbox: Outbox) -> None:
        for result in results:
            outbox.send(OUT, b"k", 3 // result["n"] * b"ok")
            if "size" in result:
                outbox.send(OUT, b"k", bytes(result["size"]))

    return Outside(1, None, None, settle, bury)  # type: ignore[arg-type]


def test_a_result_that_cannot_be_settled_is_buried_and_the_others_are_settled() -> None:
    def bury_result(result: Any, detail: str, tables: Tables, outbox: Outbox) -> None:
        outbox.send(DEAD, b"k", detail.encode())

    guard = guarded(outside=an_outside(bury_result))
    _, outbox = guard.settle([{"n": 3}, {"n": 0}, {"n": 2, "size": MAX_RECORD_BYTES}, {"n": 3}])
    assert written(outbox) == [
        ("out", b"ok"),
        ("dead", b"ZeroDivisionError"),
        ("dead", b"too large for out: 1000001 bytes, 1000000 are the most"[:40]),
        ("out", b"ok"),
    ]
    with pytest.raises(ZeroDivisionError):
        guarded(outside=an_outside()).settle([{"n": 0}])


def test_key_value_and_headers_count_together() -> None:
    third = bytes(MAX_RECORD_BYTES // 3)
    measure([("t", third, third, -1, None), ("t", None, None, -1, None), ("t", third, third, -1, [("h", None)])])
    with pytest.raises(TooLarge, match="too large for t: 1000003 bytes"):
        measure([("t", third, third, -1, [("hhhh", third)])])
