"""What every channel promises, for each file in schemas/channels/ the moment it exists."""

import re
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.channels
from schemas.channel import Channel
from schemas.channels import CHANNELS
from schemas.discovery import modules

MODULES = modules(schemas.channels)
FIT = {
    "push": ["device-token-0001", "x" * 4096],
    "sms": ["+4915112345678", "+15551234567"],
    "email": ["anna@example.org", "a.b+c@d.e.co", "o'neil@xn--bcher-kva.example", "a@1.example", "a" * 64 + "@b.co"],
}
UNFIT = {
    "push": ["", "short", "x" * 4097, "device token", "device-token\n", "d\u00e9vice-token", "device\x00token"],
    "sms": [
        "+49\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
        "+\uff14915112345678",
        "+4915112345678 ",
        "",
        "015112345678",
        "+0151123456",
        "+49151 1234567",
        "+1",
        "+4915112345678\n",
        "+491511234567890123",
    ],
    "email": [
        *("", "anna", "anna@", "@example.org", "anna@example", "an na@example.org", "a@b.c\n", "a" * 250 + "@b.cd"),
        *("ada@example..org", "<ada@example.org>", "Ada <ada@example.org>", ".ada@example.org", "ada.@example.org"),
        *("a..da@example.org", "ada@.example.org", "ada@example.org.", "ada@-example.org", "ada@example-.org"),
        *("ada@b@example.org", '"ada"@example.org', "ada@[192.0.2.1]", "ada@192.0.2.1", "ada,bob@example.org"),
        *(
            "ada@b\u00fccher.example",
            "\u00e4da@example.org",
            "ada@example.org\r\nBcc: x@example.org",
            "a\x00@example.org",
        ),
        *(
            "a" * 65 + "@example.org",
            "ada@" + "b" * 64 + ".org",
            "ada@ex_ample.org",
            "ada@example.org ",
            "(c)ada@example.org",
        ),
    ],
}

every_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=lambda channel: channel.name)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.CHANNEL.name)
def test_one_file_is_one_channel_of_its_name(module: ModuleType) -> None:
    assert module.CHANNEL.name == module.__name__.rpartition(".")[2]
    assert CHANNELS[module.CHANNEL.name] is module.CHANNEL


def test_ranks_are_from_1_to_8_and_no_two_alike_because_they_are_bits_of_a_dedup_entry() -> None:
    ranks = [channel.rank for channel in CHANNELS.values()]
    assert ranks == sorted(set(ranks))
    assert all(1 <= rank <= 8 for rank in ranks)
    assert sum(channel.bit for channel in CHANNELS.values()) < 256
    assert all(bin(channel.bit).count("1") == 1 for channel in CHANNELS.values())


def test_the_ranks_in_use_never_change_because_entries_remember_them() -> None:
    assert {name: CHANNELS[name].rank for name in ("push", "sms", "email")} == {"push": 1, "sms": 2, "email": 3}


@every_channel
def test_a_channel_has_parts_to_be_rendered(channel: Channel) -> None:
    assert channel.parts
    assert len(set(channel.parts)) == len(channel.parts)
    assert "body" in channel.parts


@every_channel
@given(st.text(max_size=40))
def test_whether_an_address_fits_is_always_answered(channel: Channel, address: str) -> None:
    assert channel.accepts(address) in (True, False)


@every_channel
def test_a_channel_takes_addresses_of_its_form_and_no_others(channel: Channel) -> None:
    assert not channel.accepts("")
    assert channel.form
    assert [example for example in re.findall(r"such as (\S+)", channel.form) if not channel.accepts(example)] == []
    assert [address for address in FIT.get(channel.name, []) if not channel.accepts(address)] == []
    assert [address for address in UNFIT.get(channel.name, []) if channel.accepts(address)] == []


@every_channel
def test_the_normal_form_of_an_address_fits_and_is_its_own(channel: Channel) -> None:
    for address in FIT.get(channel.name, []):
        assert channel.accepts(channel.normalise(address))
        assert channel.normalise(channel.normalise(address)) == channel.normalise(address)


def test_the_domain_of_a_mailbox_has_no_case_and_its_local_part_may_have() -> None:
    normalise = CHANNELS["email"].normalise
    assert normalise("Ada.B@Example.ORG") == "Ada.B@example.org"
