"""What every provider promises, for each file in agents/providers/ the moment it exists."""

import json
import re
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, get_type_hints

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

import agents.providers
from agents.provider import Call, Fault, Kind, Message, Provider, Reply, Result, Sent, discover
from agents.provider_settings import Secret
from schemas.discovery import modules
from schemas.errors import Misconfigured
from schemas.vocabulary import MessageClass

MODULES = modules(agents.providers)
ADDRESS, TEXT, TOKEN = "+15551234567/bob@example.org", "Your code is 424242", "ya29.token-of-an-hour"
PARTS = {"title": TEXT, "subject": TEXT, "body": TEXT, "html": f"<p>{TEXT}</p>"}
BODIES = {
    "empty": b"",
    "garbage": b"\x00\xff{[" + ADDRESS.encode(),
    "html": f"<html><body>502 {ADDRESS} {TEXT}</body></html>".encode(),
    "json": json.dumps({"code": ADDRESS, "message": TEXT, "error": {"status": TEXT, "details": [{}]}}).encode(),
    "deep": b"[" * 100_000,
}
FAULTS: list[Reply | Fault] = [
    Fault(nothing_left, what) for nothing_left in (True, False) for what in ("timed_out", "connection_lost")
]


@dataclass(frozen=True)
class Case:
    provider: Provider
    env: dict[str, str]
    secrets: list[str]


@cache
def a_private_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem.replace("\n", "\\n")


def variable(vendor: type[Any], field: str) -> str:
    return f"CARILLON_{vendor.name}_{field.rstrip('_')}".upper()


def required(vendor: type[Any]) -> dict[str, str]:
    """The variables that a vendor cannot do without, each with a value that fits any of them."""
    types = get_type_hints(vendor)
    return {
        variable(vendor, each.name): a_private_key() if types[each.name] is Secret else "x1"
        for each in fields(vendor)
        if each.default is MISSING
    }


@pytest.fixture(params=MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def case(request: pytest.FixtureRequest) -> Case:
    vendor = request.param.PROVIDER
    env = required(vendor)
    provider = vendor.from_environment(env)
    assert provider is not None
    return Case(provider, env, [value for value in env.values() if len(value) > 100])


def a_message(provider: Provider, message_class: MessageClass = MessageClass.OTP) -> Message:
    return Message("0d7f.sms.1", provider.channel, ADDRESS, PARTS, message_class, 300.0, 1_800_000_300, "collapse")


def keeps_the_rules(provider: Provider, result: Result) -> None:
    assert result.provider == provider.name
    assert re.fullmatch(r"[a-z_]{3,40}", result.reason)
    assert (result.kind is Kind.ACCEPTED) == (result.sent is Sent.YES)
    assert (result.kind is Kind.AMBIGUOUS) == (result.sent is Sent.MAYBE)
    assert not result.suppress or result.kind in (Kind.REJECTED_RECIPIENT, Kind.OPTED_OUT)
    assert not (result.destination and result.suppress)
    assert result.retry_after_s is None or 0 <= result.retry_after_s <= 86_400


def test_one_file_is_one_provider_under_its_own_name() -> None:
    names = [module.PROVIDER.name for module in MODULES]
    assert names == [module.__name__.rpartition(".")[2] for module in MODULES]
    for module in MODULES:
        own = {each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__}
        assert {each for each in own if hasattr(each, "from_environment")} == {module.PROVIDER}


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_with_any_body_is_read_and_keeps_the_rules(case: Case, status: int) -> None:
    for body in BODIES.values():
        result = case.provider.read(Reply(status, {}, body))
        keeps_the_rules(case.provider, result)
        assert (result.sent is Sent.YES) == (200 <= status < 300)
        assert result.sent is not Sent.NO or 400 <= status < 500
        assert result.sent is Sent.MAYBE or status < 500
        assert ADDRESS not in repr(result)
        assert TEXT not in repr(result)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_only_a_fault_before_the_first_byte_is_certainly_not_sent(case: Case, fault: Fault) -> None:
    result = case.provider.read(fault)
    keeps_the_rules(case.provider, result)
    assert result.kind is (Kind.UNAVAILABLE if fault.nothing_left else Kind.AMBIGUOUS)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "status", "details", "errorCode", "sid", "name"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("vendor", MODULES, ids=lambda module: module.PROVIDER.name)
@given(answer=JSON, status=st.integers(0, 999), wait=st.text() | st.floats().map(str) | st.integers().map(str))
def test_no_json_and_no_header_makes_a_reading_raise(vendor: Any, answer: Any, status: int, wait: str) -> None:
    provider = vendor.PROVIDER.from_environment(required(vendor.PROVIDER))
    headers = {"retry-after": wait, "x-ratelimit-reset": wait}
    keeps_the_rules(provider, provider.read(Reply(status, headers, json.dumps(answer).encode(), 1e9)))


def test_a_table_suppresses_whoever_is_dead_or_opted_out_and_nobody_else() -> None:
    for module in MODULES:
        for code, ruling in module.CODES.items():
            gone = ruling.kind in (Kind.REJECTED_RECIPIENT, Kind.OPTED_OUT)
            assert ruling.suppress == gone, code
            assert ruling.kind not in (Kind.ACCEPTED, Kind.AMBIGUOUS), f"{code}: the status alone says so"


@pytest.mark.parametrize("message_class", MessageClass)
def test_building_a_call_twice_gives_equal_bytes(case: Case, message_class: MessageClass) -> None:
    message = a_message(case.provider, message_class)
    call = case.provider.call(message, TOKEN)
    assert call == case.provider.call(message, TOKEN)
    assert call.body
    assert 0 < call.timeout_s <= 10
    assert case.provider.window > 0


def test_no_secret_address_or_text_is_in_any_repr(case: Case) -> None:
    message = a_message(case.provider)
    shown = [case.provider, message, case.provider.call(message, TOKEN), case.provider.credential()]
    printed = f"{shown!r} {shown}"
    for private in (ADDRESS, TEXT, TOKEN, "424242", *case.secrets):
        assert private not in printed
    assert repr(message).count("=") == 2, "only ref and channel"


def test_our_reference_leaves_with_the_message_and_no_person_with_the_reference(case: Case) -> None:
    with_callback = {**case.env, variable(type(case.provider), "callback_url"): "https://carillon.example/back"}
    provider = type(case.provider).from_environment(with_callback)
    assert provider is not None
    assert b"0d7f.sms.1" in provider.call(a_message(provider), TOKEN).body


def test_a_message_without_its_parts_is_refused_as_unfit(case: Case) -> None:
    unfit = Message("ref", case.provider.channel, ADDRESS, {}, MessageClass.OTP, 300.0, 1_800_000_300, "collapse")
    with pytest.raises((KeyError, ValueError)):
        case.provider.call(unfit, TOKEN)


def test_a_provider_is_absent_when_nothing_is_set_and_names_what_is_missing_when_half_is(case: Case) -> None:
    vendor = type(case.provider)
    assert vendor.from_environment({"PATH": "/bin", "CARILLON_OTHER": "1"}) is None
    for missing in case.env:
        half = {**case.env, variable(vendor, "window"): "9"}
        del half[missing]
        with pytest.raises(Misconfigured, match=missing):
            vendor.from_environment(half)


def test_discovery_gives_each_channel_its_configured_provider(case: Case) -> None:
    assert discover({}) == {}
    assert discover(case.env) == {case.provider.channel: case.provider}


def test_a_token_is_bought_with_a_call_that_shows_nothing_and_reads_any_answer(case: Case) -> None:
    credential = case.provider.credential()
    if credential is None:
        assert case.provider.call(a_message(case.provider), None)
        return
    call = credential.call(1_795_000_000.0)
    assert isinstance(call, Call)
    assert not any(secret in repr(call) for secret in case.secrets)
    for answer in [*FAULTS, *(Reply(status, {}, body) for status in range(100, 600) for body in BODIES.values())]:
        result = credential.read(answer)
        assert isinstance(result, Result)
        assert result.sent is Sent.NO, "no token, no message"
