"""What the command adds to its environment: the addresses of a running `carillon up`, and keys made once for it."""

import base64
import os
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path

HOME = Path(".carillon")
"""All that running here leaves behind lies in this folder of the present one."""
STACK, KEYS = HOME / "stack.env", HOME / "keys.env"
_OURS = ("CARILLON_", "AWS_")
_KEY_BYTES = 32


def fill(environment: MutableMapping[str, str], folder: Path) -> None:
    """Add what `environment` lacks, if a local stack runs in `folder`; what is set already wins."""
    if (folder / STACK).exists():
        for file in (folder / STACK, folder / KEYS):
            for name, value in _read(file).items():
                environment.setdefault(name, value)


def fresh_keys() -> dict[str, str]:
    """A new key ring with one key, and a new index key, as settings."""
    key, index = (base64.b64encode(os.urandom(_KEY_BYTES)).decode() for _ in range(2))
    return {"CARILLON_KEYS": f"1:{key}", "CARILLON_INDEX_KEY": index}


def local_keys(folder: Path) -> dict[str, str]:
    """The keys of the local stack in `folder`, made at the first call and readable by their owner alone."""
    file = folder / KEYS
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
            target.write(as_lines(fresh_keys()))
    return _read(file)


def as_lines(settings: Mapping[str, str]) -> str:
    """Settings as lines for a shell to read."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())


def _read(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    found = {}
    for line in file.read_text().splitlines():
        name, given, value = line.partition("=")
        if given and name.startswith(_OURS):
            found[name] = "".join(shlex.split(value))
    return found
