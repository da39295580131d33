"""Headers that the engine reads: only on topics that it alone writes, and whatever they are there, nobody raises."""

import pytest

from agents.stage import header
from schemas import topics
from schemas.vocabulary import Lane
from tests.agents.world import HOME, NOW, PARTITIONS, Record, World, asked, steps, written

Headers = list[tuple[str, bytes | None]]
MISPLACED = topics.misplaced(Lane.HIGH)

ORIGINS: dict[str, Headers] = {
    "none": [],
    "null": [("origin", None)],
    "no UTF-8": [("origin", b"\xff\xfe")],
    "empty": [("origin", b"")],
    "a service": [("origin", b"checkout-service")],
    "a topic of nobody": [("origin", b"elsewhere/1/7")],
    "a topic of the other lane": [("origin", b"notifications.low/1/7")],
    "a partition that no entry holds": [("origin", b"notifications.high/65536/7")],
    "an offset that no entry holds": [("origin", b"notifications.high/1/9223372036854775808")],
    "an offset of any length": [("origin", b"notifications.high/1/" + b"9" * 100_000)],
    "a negative offset": [("origin", b"notifications.high/1/-7")],
    "an offset that int() takes": [("origin", b"notifications.high/1/1_0")],
    "digits of another script": [("origin", "notifications.high/1/٧".encode())],
    "a position written in another way": [("origin", b"notifications.high/01/7")],
    "a line more": [("origin", b"notifications.high/1/7\n")],
    "two": [("origin", b"notifications.high/1/7"), ("origin", b"notifications.high/1/8")],
    "two, one of them null": [("origin", b"notifications.high/1/7"), ("origin", None)],
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_a_producer_s_header_named_origin_means_nothing(kind: str) -> None:
    home = asked(3, headers=ORIGINS[kind])
    outbox = World().knows().route(home)
    assert steps(outbox) == [("routed", "")]
    assert [told["position"] for told in written(outbox, topics.STATUSES)] == [f"notifications.high/{HOME}/3"]
    dead = World().route(Record(home.topic, HOME, 4, NOW, b"anna", b"{", ORIGINS[kind]))
    assert [told["position"] for told in written(dead, topics.STATUSES)] == [f"notifications.high/{HOME}/4"]


@pytest.mark.parametrize("kind", ORIGINS)
def test_a_misplaced_record_is_keyed_again_under_its_own_position_whatever_its_producer_named_origin(kind: str) -> None:
    home, elsewhere = asked(headers=ORIGINS[kind]), (HOME + 1) % PARTITIONS
    world = World().knows()
    [(topic, key, value, _, headers)] = world.route(
        Record(home.topic, elsewhere, 7, NOW, b"anna", home.value, home.headers)
    ).records
    assert (topic, headers) == (MISPLACED.name, [("origin", f"notifications.high/{elsewhere}/7".encode())])
    outbox = world.route(Record(topic, HOME, 0, NOW, key, value, headers or ()))
    assert steps(outbox) == [("routed", "")]
    assert [told["position"] for told in written(outbox, topics.STATUSES)] == [f"notifications.high/{elsewhere}/7"]


@pytest.mark.parametrize("kind", ORIGINS)
def test_a_record_keyed_again_without_a_sound_origin_is_dead_under_its_own_position(kind: str) -> None:
    broken = asked(3, topic=MISPLACED, headers=ORIGINS[kind])
    world = World().knows()
    outbox = world.route(broken, asked(4, topic=MISPLACED, headers=[("origin", b"notifications.high/1/7")]))
    assert steps(outbox) == [("dead", "invalid"), ("routed", "")]
    (letter,) = written(outbox, topics.DEAD_LETTERS)
    assert letter["position"] == f"misplaced.high/{HOME}/3"
    assert letter["detail"] == "no single header `origin` names the position it came from"


def test_the_greatest_position_that_an_entry_holds_is_taken() -> None:
    most = b"notifications.high/65535/9223372036854775807"
    assert steps(World().knows().route(asked(3, topic=MISPLACED, headers=[("origin", most)]))) == [("routed", "")]


def test_what_returns_is_decided_under_its_own_position_whatever_its_headers() -> None:
    outbox = World().knows().route(asked(3, topic=topics.returns(Lane.HIGH), headers=[("origin", b"\xff")]))
    assert [told["position"] for told in written(outbox, topics.STATUSES)] == [f"returns.high/{HOME}/3"]


def test_a_header_is_told_where_it_is_the_only_one_of_its_name() -> None:
    def of(*headers: tuple[str, bytes | None]) -> bytes | None:
        return header(Record("t", 0, 0, 0, None, None, headers), "to")

    assert of(("to", b"x"), ("other", None)) == b"x"
    assert of() is of(("to", None)) is of(("to", b"x"), ("to", b"x")) is None
