"""What docker-compose.yml runs before the workers, run here against the servers of the session."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[3]
SETUP = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["setup"]["command"]


def run(folder: Path, local: dict[str, str], *command: str) -> str:
    """In `folder`, with the settings that compose gives: all but the keys."""
    settings = {name: value for name, value in local.items() if "KEYS" not in name and "INDEX_KEY" not in name}
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command, cwd=folder, env=path | settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_setup_makes_keys_once_that_every_command_of_the_folder_finds(local: dict[str, str], tmp_path: Path) -> None:
    assert run(tmp_path, local, *SETUP).startswith("Ready: ")
    keys = tmp_path / ".carillon" / "keys.env"
    first = keys.read_text()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    sealed = run(tmp_path, local, "carillon", "prefer", "--user", "grace", "--address", "sms=+4917600000002")
    assert sealed.startswith("preferences/")
    run(tmp_path, local, *SETUP)
    assert keys.read_text() == first
