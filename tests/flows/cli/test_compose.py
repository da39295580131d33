"""What docker-compose.yml runs before the workers, run here against servers of its own: it makes the keys."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.local.stack import Stack

REPOSITORY = Path(__file__).parents[3]
SETUP = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["setup"]["command"]


@pytest.fixture
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings of a stack whose cluster knows no keys yet."""
    home, lib = tmp_path_factory.mktemp("stack"), REPOSITORY / ".carillon" / "lib"
    with Stack(home, fresh=True, keep=False, parts=("kafka", "dynamodb", "s3"), lib=lib) as stack:
        yield stack.addresses.environment()


def run(folder: Path, local: dict[str, str], *command: str) -> str:
    """In `folder`, with the settings that compose gives: all but the keys."""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command, cwd=folder, env=path | local, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_setup_makes_keys_once_that_every_command_of_the_folder_finds(local: dict[str, str], tmp_path: Path) -> None:
    registered, ready = run(tmp_path, local, *SETUP).splitlines()
    assert registered == "Key ring registered: ids 1 are new."
    assert ready.startswith("Ready: ")
    keys = tmp_path / ".carillon" / "keys.env"
    first = keys.read_text()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    sealed = run(tmp_path, local, "carillon", "prefer", "--user", "grace", "--address", "sms=+4917600000002")
    assert sealed.startswith("preferences/")
    run(tmp_path, local, *SETUP)
    assert keys.read_text() == first
