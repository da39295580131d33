"""What the README says works as it is written there."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from schemas.keys import notification_id
from schemas.vocabulary import Lane
from tables.preferences import read

README = Path(__file__).parents[3] / "README.md"


def example() -> str:
    """The one Python block of the README."""
    [found] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return str(found)


@pytest.mark.usefixtures("worker")
def test_the_event_of_the_readme_is_routed_and_sent(
    carillon: Callable[..., Result], until: Callable[..., str], prepared: dict[str, str]
) -> None:
    carillon("prefer", "--user", "ada", "--address", "sms=+4917600000001", env=prepared)
    subprocess.run([sys.executable, "-c", example()], env={**os.environ, **prepared}, check=True, timeout=30)
    id_ = notification_id("acme", Lane.HIGH, "ada", "login-42")
    assert "sent" in until("Row: status SENT", "trace", id_, env=prepared)


def test_the_preference_of_the_readme_can_be_read() -> None:
    [found] = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    ada = read(found.encode())
    assert (ada.user_id, len(ada.addresses), len(ada.opt_outs)) == ("ada", 1, 1)


def test_the_readme_names_only_commands_and_targets_that_exist() -> None:
    text = README.read_text()
    makefile = (README.parent / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", text)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from flows.cli import COMMANDS

    assert set(re.findall(r"^ {4}carillon ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)
