"""invalid: what a producer in another language is told of a record that cannot be used, and never a value of it."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.invalid import MAX_PART_BYTES, Identity, detail_of, identity_of
from schemas.keys import notification_id
from schemas.records import Notification, Preference, Record
from schemas.vocabulary import Lane

SECRET = "s3cret"
EVENT = {
    "tenant": "shop",
    "idempotency_key": "order-1",
    "user_id": "anna",
    "channels": "sms",
    "category": "orders",
    "class": "transactional",
    "template_id": "order",
    "params": {"code": SECRET},
}
JSON = json.dumps(EVENT)
WHOSE = Identity("shop", "anna", "order-1")
TIME = "`$.deadline`: expected an RFC 3339 time with its zone, such as 2027-01-15T08:00:00Z"


def detail(value: bytes, record: type[Record] = Notification) -> str:
    try:
        msgspec.json.decode(value, type=record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return detail_of(value, record, error)
    raise AssertionError("it can be read")


def with_(**changes: Any) -> bytes:
    return json.dumps({name: said for name, said in {**EVENT, **changes}.items() if said is not ...}).encode()


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "a class in capitals": ({"class": "OTP"}, "`$.class`: expected one of otp, transactional, billing, marketing"),
    "a class that quotes a path": (
        {"class": f"{SECRET}' - at `$.tenant`"},
        "`$.class`: expected one of otp, transactional, billing, marketing",
    ),
    "a deadline without its zone": ({"deadline": "2027-01-15T08:00:00"}, TIME),
    "a deadline in epoch seconds": ({"deadline": 1_800_000_000}, TIME),
    "a deadline that is none": ({"deadline": SECRET}, TIME),
    "a key of 257 characters": ({"idempotency_key": "k" * 257}, "`$.idempotency_key`: expected `str` of length <= 256"),
    "an empty tenant": ({"tenant": ""}, "`$.tenant`: expected `str` of length >= 1"),
    "params of null": ({"params": None}, "`$.params`: expected `object`, got `null`"),
    "params that are text": ({"params": SECRET}, "`$.params`: expected `object`, got `str`"),
    "a channel that is none": ({"channels": ["sms", 5]}, "`$.channels[1]`: expected `str`, got `int`"),
    "a version of zero": ({"template_version": 0}, "`$.template_version`: expected `int` >= 1"),
    "sealed params that are none": ({"sealed_params": SECRET}, "`$.sealed_params`: invalid base64 encoded string"),
    "fields that are missing": ({"user_id": ..., "class": ...}, "missing `$.user_id`, `$.class`"),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_the_path_of_a_field_and_what_is_expected_of_it_are_told(kind: str) -> None:
    changes, told = FIELDS[kind]
    assert detail(with_(**changes)) == told


def test_a_field_within_a_preference_is_told_by_its_path() -> None:
    told = {"tenant": "shop", "user_id": "anna", "version": 1, "addresses": [{"address": SECRET}]}
    value = json.dumps(told).encode()
    assert detail(value, Preference) == "`$.addresses[0]`: object missing required field `channel`"
    assert identity_of(value) == Identity("shop", "anna", None)


ENVELOPES = {
    "a byte order mark": (b"\xef\xbb\xbf" + JSON.encode(), "begins with a byte order mark: write UTF-8 without one"),
    "UTF-16": (JSON.encode("utf-16"), "looks like UTF-16: write UTF-8"),
    "UTF-16 without a mark, little end first": (JSON.encode("utf-16-le"), "looks like UTF-16: write UTF-8"),
    "UTF-16 without a mark, big end first": (JSON.encode("utf-16-be"), "looks like UTF-16: write UTF-8"),
    "Confluent's framing": (
        b"\x00\x00\x00\x00\x07" + JSON.encode(),
        "begins with 0x00 and a schema id, the framing of Confluent's serializers: write plain JSON",
    ),
    "a JSON string": (json.dumps(JSON).encode(), "is JSON within a JSON string: encode it once"),
    "an array": (f"[{JSON}]".encode(), "is a JSON array: write one record for each of its items"),
    "CloudEvents": (
        json.dumps({"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "data": EVENT}).encode(),
        "is in a CloudEvents envelope: write its `data` alone",
    ),
    "CloudEvents of bytes": (
        json.dumps({"specversion": "1.0", "data_base64": base64.b64encode(JSON.encode()).decode()}).encode(),
        "is in a CloudEvents envelope: write its `data_base64` alone",
    ),
    "Kafka Connect": (
        json.dumps({"schema": {"type": "struct"}, "payload": EVENT}).encode(),
        "is in a Kafka Connect envelope: set value.converter.schemas.enable=false",
    ),
    "Debezium": (
        json.dumps({"before": None, "after": EVENT, "op": "c"}).encode(),
        "is a change event of Debezium: write its `after` alone",
    ),
}


@pytest.mark.parametrize("kind", ENVELOPES)
def test_a_known_envelope_is_named_and_whose_record_is_in_it_is_read(kind: str) -> None:
    value, hint = ENVELOPES[kind]
    assert detail(value).endswith(f"; {hint}")
    assert identity_of(value) == WHOSE


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd\x24", "zstd"), (b"Obj\x01\x04", "an Avro file")]
)
def test_a_value_that_was_compressed_by_its_producer_is_named(magic: bytes, name: str) -> None:
    assert f"looks like {name}: write plain JSON" in detail(magic + b"\x00\xff")


UNREADABLE = {
    "nothing": (b"", "is empty"),
    "no UTF-8": (b'{"tenant":"\xff"}', "is not UTF-8"),
    "nested without end": (b'{"more":' + b"[" * 50_000, "is nested too deeply"),
    "a comma too many": (b'{"tenant":"shop",}', "JSON is malformed: trailing comma in object (byte 17)"),
    "broken off": (JSON.encode()[:-1], "Input data was truncated"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_json_is_told_apart(kind: str) -> None:
    value, told = UNREADABLE[kind]
    assert detail(value) == told


def test_whose_record_it_is_is_read_up_to_where_it_breaks_off() -> None:
    assert identity_of(JSON.encode()[:-9]) == WHOSE
    assert identity_of(b'{"params":{"user_id":"nested"},"tenant":"shop","user_id":"anna","idempotency') == Identity(
        "shop", "anna", None
    )
    assert identity_of(b'{"tenant":true,"user_id":4711,"idempotency_key":["k"]}') == Identity(None, "4711", None)
    assert identity_of(None) == Identity(None, None, None)


def test_an_id_is_told_where_every_part_of_it_is_whole() -> None:
    whole = notification_id("shop", Lane.HIGH, "anna", "order-1")
    assert WHOSE.notification_id(Lane.HIGH) == whole
    for part in (None, "", "k" * 257, "€" * 86, "a\x1fb"):
        assert WHOSE._replace(idempotency_key=part).notification_id(Lane.HIGH) is None


def test_a_name_of_any_length_is_cut_to_so_many_bytes_at_a_character() -> None:
    whose = identity_of(json.dumps({"tenant": "€" * 600_000}).encode())
    assert whose.tenant == "€" * (MAX_PART_BYTES // 3)


def test_a_name_that_no_utf_8_can_write_is_read_as_far_as_it_can_be_written() -> None:
    whose = identity_of(b'{"tenant":"sh\xffop","user_id":"a\\ud800b\\u0000"}')
    assert (whose.tenant, whose.user_id) == ("sh\ufffdop", "a?b\x00")


def test_names_are_found_anywhere_in_a_whole_record_and_near_the_beginning_of_a_broken_one() -> None:
    long = json.dumps({"more": "x" * 500_000, **EVENT}).encode()
    assert identity_of(long) == WHOSE
    assert identity_of(long[:-1]) == Identity(None, None, None)
    assert identity_of(JSON.encode()[:-1] + b',"more":"' + b"x" * 500_000) == WHOSE


NAMES = [*EVENT, "schema", "payload", "specversion", "data", "data_base64", "after", "op", SECRET]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(SECRET) | st.just(JSON),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
VALUES = ANYTHING.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=40)
FRAMES = st.sampled_from((b"", b"\x00\x00\x00\x00\x01", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"["))


@given(FRAMES, VALUES, st.sampled_from((Notification, Preference)))
def test_whatever_is_written_is_told_of_without_a_word_of_it(frame: bytes, value: bytes, record: type[Record]) -> None:
    whose = identity_of(frame + value)
    assert all(len((part or "").encode()) <= MAX_PART_BYTES for part in whose)
    try:
        msgspec.json.decode(frame + value, type=record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = detail_of(frame + value, record, error)
        assert SECRET not in told
        assert len(told) < 400
