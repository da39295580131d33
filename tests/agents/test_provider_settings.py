import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import agents.providers
from agents.provider import discover
from agents.provider_settings import Secret, configured
from schemas.errors import Misconfigured


@dataclass(frozen=True)
class Vendor:
    key: Secret
    from_: str
    url: str = "https://api.vendor.example"
    window: int = 50


ENV = {"CARILLON_VENDOR_KEY": " hush ", "CARILLON_VENDOR_FROM": "+1555", "CARILLON_VENDOR_WINDOW": "7"}


def test_fields_are_read_from_their_variables_by_their_types() -> None:
    assert configured(Vendor, "vendor", ENV) == Vendor(Secret("hush"), "+1555", window=7)


def test_an_address_loses_its_last_slash() -> None:
    vendor = configured(Vendor, "vendor", {**ENV, "CARILLON_VENDOR_URL": "http://127.0.0.1:80/v/"})
    assert vendor is not None
    assert vendor.url == "http://127.0.0.1:80/v"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CARILLON_VENDOR_WINDOW", "many-hush"),
        ("CARILLON_VENDOR_WINDOW", "0"),
        ("CARILLON_VENDOR_WINDOW", "-1"),
        ("CARILLON_VENDOR_URL", "ftp://hush"),
        ("CARILLON_VENDOR_URL", "http://[::1/hush"),
        ("CARILLON_VENDOR_URL", "https://"),
        ("CARILLON_VENDOR_URL", "http://x:70000/hush"),
        ("CARILLON_VENDOR_URL", "https://user:hush@x"),
    ],
)
def test_an_unfit_value_is_refused_by_its_name_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=variable) as raised:
        configured(Vendor, "vendor", {**ENV, variable: value})
    assert "hush" not in str(raised.value)


def test_every_missing_variable_is_named_and_an_empty_one_is_missing() -> None:
    with pytest.raises(Misconfigured, match="CARILLON_VENDOR_KEY, CARILLON_VENDOR_FROM"):
        configured(Vendor, "vendor", {"CARILLON_VENDOR_WINDOW": "7", "CARILLON_VENDOR_KEY": " "})


def test_a_secret_prints_as_stars_everywhere() -> None:
    secret = Secret("hush")
    assert f"{secret} {secret!r} {secret!s} {[secret]} {Vendor(secret, 'x')}".count("***") == 5
    assert secret.reveal() == "hush"


TWILIO = {f"CARILLON_TWILIO_{field}": "x" for field in ("ACCOUNT", "KEY", "SECRET", "FROM")}


def test_a_channel_whose_chosen_provider_is_not_configured_is_refused() -> None:
    assert discover({**TWILIO, "CARILLON_SMS_PROVIDER": "twilio"}).keys() == {"sms"}
    with pytest.raises(Misconfigured, match="set CARILLON_SMS_PROVIDER to one of the configured providers: twilio"):
        discover({**TWILIO, "CARILLON_SMS_PROVIDER": "vonage"})


@pytest.fixture
def second_sms_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file dropped beside the others."""
    source = Path(agents.providers.__path__[0], "twilio.py").read_text()
    (tmp_path / "zwilling.py").write_text(source.replace('"twilio"', '"zwilling"'))
    monkeypatch.setattr(agents.providers, "__path__", [*agents.providers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "agents.providers.zwilling", raising=False)
    return "zwilling"


def test_two_providers_of_one_channel_need_a_choice(second_sms_vendor: str) -> None:
    both = {**TWILIO, **{key.replace("TWILIO", "ZWILLING"): value for key, value in TWILIO.items()}}
    with pytest.raises(Misconfigured, match="set CARILLON_SMS_PROVIDER to one of .* twilio, zwilling"):
        discover(both)
    assert discover({**both, "CARILLON_SMS_PROVIDER": "zwilling"})["sms"].name == "zwilling"
    assert discover(TWILIO)["sms"].name == "twilio"
