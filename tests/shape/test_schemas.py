"""schemas/json/ is what the records say, and what the records say is valid by it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.json_schema import FOLDER, files, schema_of
from schemas.records import (
    RECORDS,
    Address,
    DeadLetter,
    Delivery,
    KeyRegistration,
    Notification,
    OptOut,
    Preference,
    Record,
    Status,
    Suppression,
    Tried,
    encode,
)
from schemas.vocabulary import MessageClass, Step

TRIED = Tried(attempt=1, provider="twilio", sent="no", reason="throttled", at_ms=5)
OF = {"tenant": "shop", "user_id": "anna"}
EXAMPLES: list[Record] = [
    Notification(
        **OF,
        idempotency_key="order-1",
        channels=["sms", "push"],
        category="orders",
        message_class=MessageClass.OTP,
        template_id="order",
        template_version=3,
        params={"number": "4711", "items": [{"name": "a"}]},
        collapse_key="one",
    ),
    Notification(
        **OF,
        idempotency_key="o",
        channels="best",
        category="c",
        message_class=MessageClass.MARKETING,
        template_id="t",
        sealed_params=b"\x00\xff",
        tries=2,
        round=2,
    ),
    Preference(
        **OF,
        version=3,
        addresses=[
            Address(channel="sms", address="+4915112345678"),
            Address(channel="push", sealed=b"x", hash="0a" * 16),
        ],
        preferred=["push"],
        opt_outs=[OptOut(), OptOut(channel="sms", category="news", out=False)],
        locale="de",
    ),
    Delivery(
        **OF,
        notification_id="n",
        idempotency_key="o",
        channel="sms",
        message_class=MessageClass.BILLING,
        category="c",
        template_id="t",
        address=b"\x01",
        address_hash="h",
        params=b"\x02",
        deadline_ms=1,
        due_ms=2,
        decided_at_ms=3,
        accepted_ms=4,
        tried=[TRIED],
    ),
    Status(**OF, notification_id="n", step=Step.SENT, at_ms=1, position="t/0/1", channel="sms"),
    Suppression(key="k", blocked=True, reason="stop", since_ms=1),
    DeadLetter(cause="invalid", position="t/0/1", at_ms=1, body=b"\x00", tried=[TRIED]),
    KeyRegistration(index_key="a1", keys={1: "b2"}, retired=[2]),
]


def errors(record: type[Record], body: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema_of(record)).iter_errors(body)]


def test_the_files_are_what_the_records_say() -> None:
    found = {path.name: path.read_text() for path in Path(FOLDER).iterdir()}
    assert found == files(), "write them again: python -m schemas.json_schema"


@pytest.mark.parametrize("name", files())
def test_every_file_is_a_schema_of_its_dialect(name: str) -> None:
    schema = json.loads(files()[name])
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$schema"]
    Draft202012Validator.check_schema(schema)


def test_every_record_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(RECORDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_what_we_write_is_valid_and_read_back_as_it_was(example: Record) -> None:
    assert errors(type(example), json.loads(encode(example))) == []
    assert msgspec.json.decode(encode(example), type=type(example)) == example


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_unknown_fields_are_valid_and_read_over(example: Record) -> None:
    body = {**json.loads(encode(example)), "unheard_of": {"a": [1]}}
    assert errors(type(example), body) == []
    assert msgspec.json.decode(json.dumps(body), type=type(example)) == example


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_without_a_field_it_requires_a_record_is_neither_valid_nor_read(example: Record) -> None:
    body = json.loads(encode(example))
    required = schema_of(type(example))["$defs"][type(example).__name__]["required"]
    assert required
    for name in required:
        less = {key: value for key, value in body.items() if key != name}
        assert errors(type(example), less) != []
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps(less), type=type(example))


@pytest.mark.parametrize("name", ["", "u" * 257, "an\x1fna"])
def test_a_name_that_is_refused_is_not_valid_either(name: str) -> None:
    assert errors(Notification, {**json.loads(encode(EXAMPLES[0])), "user_id": name}) != []
