"""The made-up accounts against the providers that are to take them."""

import subprocess
import sys
from pathlib import Path

import pytest

from agents.provider import Provider
from agents.provider_settings import Secret, configured
from agents.providers.fcm import Fcm
from agents.providers.sendgrid import SendGrid
from agents.providers.twilio import Twilio
from agents.service_account import ServiceAccount
from deploy.local import accounts
from deploy.local.stack import Addresses

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("provider", [Twilio, SendGrid, Fcm])
def test_with_the_addresses_they_configure_every_provider(provider: type[Provider]) -> None:
    environment = Addresses(sandbox="http://127.0.0.1:1").environment() | accounts.environment()
    assert isinstance(configured(provider, provider.name, environment), provider)


def test_the_key_of_fcm_signs_a_token_request() -> None:
    key = Secret(accounts.environment()["CARILLON_FCM_KEY"])
    account = ServiceAccount("fcm", "a@example.com", key, "", "http://127.0.0.1:1/oauth/token", "any")
    assert account.call(0.0).body


def test_a_command_runs_with_them() -> None:
    show = [sys.executable, "-m", "deploy.local.accounts", "printenv", "CARILLON_SENDGRID_KEY"]
    assert subprocess.check_output(show, cwd=REPOSITORY, text=True) == "SG.local\n"


def test_without_a_command_it_says_how_to_name_one() -> None:
    bare = subprocess.run(
        [sys.executable, "-m", "deploy.local.accounts"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert bare.returncode == 1
    assert "Name a command" in bare.stderr
