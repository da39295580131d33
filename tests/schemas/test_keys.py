"""keys: ids are UUIDv5, scopes never meet, and a key lies where every client of Kafka puts it."""

import uuid
from itertools import product

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.keys import (
    HOME_BYTES,
    NAMESPACE,
    SEPARATOR,
    address_suppression,
    at,
    category_key,
    covers,
    delivery_key,
    notification_id,
    partition_of,
    user_key,
    user_suppression,
)
from schemas.vocabulary import Lane

NAMES = st.text(st.characters(exclude_characters=SEPARATOR, codec="utf-8"), min_size=1, max_size=20)
PLACED = st.tuples(st.integers(0, 2 ** (8 * HOME_BYTES) - 1), st.binary(max_size=6))
SCOPES = st.tuples(NAMES, st.sampled_from(Lane), NAMES, NAMES)


@given(SCOPES)
def test_an_id_is_the_uuid5_of_its_scope(scope: tuple[str, Lane, str, str]) -> None:
    expected = uuid.uuid5(uuid.UUID(bytes=NAMESPACE), SEPARATOR.join(scope))
    assert notification_id(*scope) == str(expected)
    assert uuid.UUID(notification_id(*scope)).version == 5


@given(SCOPES, SCOPES)
def test_another_tenant_lane_user_or_idempotency_key_is_another_id(
    one: tuple[str, Lane, str, str], other: tuple[str, Lane, str, str]
) -> None:
    assert (notification_id(*one) == notification_id(*other)) == (one == other)


def test_an_id_never_changes() -> None:
    """Ids live in stores and in the hands of producers: a change of this value is a change of every id."""
    assert notification_id("shop", Lane.HIGH, "anna", "order-1") == "43c928bc-34f9-5fc1-a5ea-06fd0d756824"


def test_no_key_of_one_kind_is_one_of_another() -> None:
    parts = ("a", "b", "u")
    keys = [user_key(*pair) for pair in product(parts, repeat=2)]
    keys += [make(*three) for three in product(parts, repeat=3) for make in (delivery_key, address_suppression)]
    assert len(set(keys)) == len(keys)
    suppressions = [address_suppression(*three) for three in product(parts, repeat=3)]
    suppressions += [user_suppression(*two) for two in product(parts, repeat=2)]
    assert len(set(suppressions)) == len(suppressions)


def test_a_name_lies_apart_in_each_partition() -> None:
    names = [b"", user_key("shop", "anna"), notification_id("shop", Lane.HIGH, "anna", "order-1").encode()]
    assert len({at(partition, name) for partition in range(512) for name in names}) == 512 * len(names)


@given(PLACED, PLACED)
def test_a_table_key_is_that_of_one_partition_and_one_name_alone(
    one: tuple[int, bytes], other: tuple[int, bytes]
) -> None:
    assert (at(*one) == at(*other)) == (one == other)
    partition, name = one
    key = at(partition, name)
    assert (int.from_bytes(key[:HOME_BYTES], "big"), key[HOME_BYTES:]) == (partition, name)
    assert key.startswith(at(partition, b""))
    assert key.startswith(at(other[0], b"")) == (partition == other[0])


def test_a_table_key_never_changes() -> None:
    """Table keys live in changelogs: a change of this value is a loss of every entry."""
    assert at(258, b"name") == b"\x01\x02name"


@given(st.binary(max_size=40), st.integers(1, 512))
def test_a_partition_is_the_one_that_aiokafka_and_java_choose(key: bytes, count: int) -> None:
    partitions = list(range(count))
    assert partition_of(key, count) == DefaultPartitioner()(key, partitions, partitions)
    assert partition_of(key, count) == (murmur2(key) & 0x7FFFFFFF) % count


@pytest.mark.parametrize(("key", "hashed"), [(b"21", -973932308), (b"foobar", -790332482), (b"abc", 479470107)])
def test_the_hash_is_that_of_kafka_s_own_tests(key: bytes, hashed: int) -> None:
    assert partition_of(key, 997) == (hashed & 0x7FFFFFFF) % 997


@pytest.mark.parametrize("one", ["Orders", "ORDERS", "orders ", "ｏｒｄｅｒｓ", "orders\n"])
def test_a_category_is_compared_without_case_and_white_space(one: str) -> None:
    assert category_key(one) == category_key("orders") == "orders"
    assert covers([f"sms/{one}"], "sms", "orders")
    assert covers(["sms/orders"], "sms", one)


def test_categories_that_look_alike_are_one() -> None:
    assert category_key("Caf\u00e9") == category_key("cafe\u0301")
    assert category_key("Straße") == category_key("STRASSE")
    assert category_key("news") != category_key("new")


@given(st.text())
def test_the_key_of_a_category_is_its_own_key(category: str) -> None:
    assert category_key(category_key(category)) == category_key(category)
