import base64
import re
from dataclasses import fields
from pathlib import Path

import pytest

import flows
from deploy.local import accounts
from deploy.local.stack import Addresses
from flows.settings import Settings, variables
from schemas.errors import Misconfigured

KEY = base64.b64encode(bytes(32)).decode()


def test_without_an_environment_everything_has_its_default() -> None:
    settings = Settings.from_environment({})
    assert (settings.kafka, settings.partitions, settings.window) == ("127.0.0.1:9092", 8, 64)
    assert settings.worker


def test_every_setting_is_read_from_the_variable_of_its_name() -> None:
    found = Settings.from_environment(
        {"CARILLON_KAFKA": "a:1,b:2", "CARILLON_PARTITIONS": "64", "CARILLON_STATE": "/data", "CARILLON_WORKER": "w7"}
    )
    assert (found.kafka, found.partitions, found.state, found.worker) == ("a:1,b:2", 64, Path("/data"), "w7")


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARILLON_WINDOW", "3")
    assert Settings.from_environment().window == 3


BOUNDS = {
    "CARILLON_PARTITIONS": (1, 65_535),
    "CARILLON_REPLICATION": (1, 32_767),
    "CARILLON_METRICS_PORT": (0, 65_535),
    "CARILLON_WINDOW": (1, 10_000),
}


def test_every_number_of_the_settings_has_bounds() -> None:
    numbers = {f"CARILLON_{each.name.upper()}" for each in fields(Settings) if each.type is int}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize(("name", "least", "most"), [(name, *bounds) for name, bounds in BOUNDS.items()])
def test_a_number_out_of_its_bounds_or_none_at_all_is_refused_with_what_is_allowed(
    name: str, least: int, most: int
) -> None:
    for given in (str(least - 1), str(most + 1), "many", "1.5", ""):
        with pytest.raises(Misconfigured) as caught:
            Settings.from_environment({name: given})
        assert str(caught.value) == f"{name} must be a whole number from {least} to {most}, not {given!r}"
    for given in (least, most):
        found = Settings.from_environment({name: str(given)})
        assert getattr(found, name.removeprefix("CARILLON_").lower()) == given


@pytest.mark.parametrize("name", ["CARILLON_DYNAMODB", "CARILLON_S3"])
@pytest.mark.parametrize(
    "given", ["127.0.0.1:8000", "dynamodb:8000", "ftp://here", "http://", "http://me@here", "http://["]
)
def test_an_address_that_is_none_is_refused_by_name_with_an_example(name: str, given: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name} must be an http or https address .* such as http://127.0.0.1:"):
        Settings.from_environment({name: given})


@pytest.mark.parametrize(
    ("given", "region"),
    [
        ({}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "ap-south-1"}, "ap-south-1"),
        ({"CARILLON_REGION": "eu-west-3", "AWS_REGION": "ap-south-1"}, "eu-west-3"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
    ],
)
def test_the_region_is_carillon_s_own_then_that_of_aws(given: dict[str, str], region: str) -> None:
    assert Settings.from_environment(given).region == region


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CARILLON_PARTITION", "did you mean CARILLON_PARTITIONS?"),
        ("CARILLON_TWILO_URL", "did you mean CARILLON_TWILIO_URL?"),
        ("CARILLON_ZZZ", "unset it"),
    ],
)
def test_a_variable_that_nothing_reads_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.from_environment({name: "secret"})
    assert str(caught.value).startswith(f"{name} is no setting: {hint}")
    assert "secret" not in str(caught.value)


def test_what_kubernetes_sets_for_a_service_is_no_misspelt_setting() -> None:
    Settings.from_environment(
        {
            "CARILLON_GATEWAY_SERVICE_HOST": "10.0.0.1",
            "CARILLON_GATEWAY_SERVICE_PORT_HTTP": "80",
            "CARILLON_PORT": "tcp://10.0.0.1:80",
            "CARILLON_PORT_80_TCP_ADDR": "10.0.0.1",
        }
    )


@pytest.mark.parametrize("name", ["REGION", "BUCKET", "LOGS_TABLE", "STATE", "METRICS_HOST", "WORKER", "KAFKA"])
def test_an_empty_value_is_refused_by_name(name: str) -> None:
    for given in ("", " \n"):
        with pytest.raises(Misconfigured, match=f"CARILLON_{name} "):
            Settings.from_environment({f"CARILLON_{name}": given})


def test_white_space_around_a_value_does_not_count() -> None:
    found = Settings.from_environment(
        {
            "CARILLON_KAFKA": " a:1, b:2\n",
            "CARILLON_KEYS": f"1:{KEY},\n2:{KEY}\n",
            "CARILLON_INDEX_KEY": f"{KEY}\n",
            "CARILLON_BUCKET": "mine\n",
            "CARILLON_PARTITIONS": " 4 ",
        }
    )
    assert (found.kafka, found.bucket, found.partitions) == ("a:1,b:2", "mine", 4)
    assert "ids=[1, 2]" in repr(found.ring())


@pytest.mark.parametrize("given", ["localhost", "a:1,b", "kafka://a:1", "a:0", "a:65536", "a:1;b:2", "a:1,", ":9092"])
def test_brokers_of_another_form_are_refused_with_an_example(given: str) -> None:
    with pytest.raises(Misconfigured, match=r"CARILLON_KAFKA must be host:port\[,host:port\], such as 127"):
        Settings.from_environment({"CARILLON_KAFKA": given})


@pytest.mark.parametrize("given", ["[::1]:9092", "kafka-0.kafka.svc:9092,kafka-1.kafka.svc:9092"])
def test_brokers_by_name_or_number_are_taken(given: str) -> None:
    assert Settings.from_environment({"CARILLON_KAFKA": given}).kafka == given


@pytest.mark.parametrize("given", ["../other", "a/b", "..", "-", "a b", "x" * 129])
def test_a_worker_s_name_that_is_no_folder_s_is_refused(given: str) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_WORKER must be 1 to 128 letters"):
        Settings.from_environment({"CARILLON_WORKER": given})


def test_two_keys_under_one_id_are_refused() -> None:
    with pytest.raises(Misconfigured, match="two keys under one id"):
        Settings.from_environment({"CARILLON_KEYS": f"1:{KEY},1:{KEY}", "CARILLON_INDEX_KEY": KEY}).ring()


def test_every_setting_is_read_somewhere() -> None:
    sources = "\n".join(path.read_text() for path in Path(flows.__file__).parent.rglob("*.py"))
    unread = [each.name for each in fields(Settings) if not re.search(rf"(settings|self)\.{each.name}\b", sources)]
    assert unread == []


def test_an_empty_address_stands_for_the_service_itself() -> None:
    assert Settings.from_environment({"CARILLON_S3": ""}).s3 == ""


def test_keys_are_not_in_the_text_of_the_settings() -> None:
    settings = Settings.from_environment({"CARILLON_KEYS": f"1:{KEY}", "CARILLON_INDEX_KEY": KEY})
    assert KEY not in repr(settings)
    assert "ids=[1]" in repr(settings.ring())


@pytest.mark.parametrize("given", [{}, {"CARILLON_KEYS": f"1:{KEY}"}, {"CARILLON_INDEX_KEY": KEY}])
def test_a_missing_key_is_refused_and_the_error_says_how_to_make_one(given: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="`carillon keys` makes a pair"):
        Settings.from_environment(given).ring()


@pytest.mark.parametrize("keys", ["1:not base64!", "no id", "1:c2hvcnQ="])
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(keys: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.from_environment({"CARILLON_KEYS": keys, "CARILLON_INDEX_KEY": KEY}).ring()
    assert keys not in str(caught.value)


def test_the_variables_are_those_of_the_settings_and_of_the_providers() -> None:
    assert {"CARILLON_KAFKA", "CARILLON_INDEX_KEY", "CARILLON_TWILIO_URL", "CARILLON_SMS_PROVIDER"} <= variables()
    local = {*accounts.environment(), *Addresses("k", "r", "d", "s", "p").environment()}
    assert {name for name in local if name.startswith("CARILLON_")} <= variables()
