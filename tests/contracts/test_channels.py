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
    "email": ["anna@example.org", "a.b+c@d.e.co"],
}
UNFIT = {
    "push": ["", "short", "x" * 4097],
    "sms": ["", "015112345678", "+0151123456", "+49151 1234567", "+1", "+4915112345678\n", "+491511234567890123"],
    "email": ["", "anna", "anna@", "@example.org", "anna@example", "an na@example.org", "a@b.c\n", "a" * 250 + "@b.cd"],
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
