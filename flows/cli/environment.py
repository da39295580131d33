"""What the command adds to its environment: the addresses of a running `carillon up`, and keys made once for it."""

import base64
import os
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from flows.cli.folder import writable
from schemas.errors import Misconfigured

HOME = Path(".carillon")
"""All that running here leaves behind lies in this folder of the present one."""
STACK, KEYS = HOME / "stack.env", HOME / "keys.env"
_OURS = ("CARILLON_", "AWS_")
_KEY_BYTES = 32


def fill(environment: MutableMapping[str, str], folder: Path) -> None:
    """Add what `environment` lacks, if a local stack runs in `folder`; what is set already wins. Raises Misconfigured
    for a file that cannot be read."""
    stack = _read(folder / STACK)
    if stack is not None:
        for name, value in (*stack.items(), *(_read(folder / KEYS) or {}).items()):
            environment.setdefault(name, value)


def home(folder: Path) -> Path:
    """Where all that running in `folder` leaves behind goes. Raises Misconfigured where it cannot be written."""
    return writable(folder / HOME, "go to a folder of your own")


def fresh_keys() -> dict[str, str]:
    """A new key ring with one key, and a new index key, as settings."""
    key, index = (base64.b64encode(os.urandom(_KEY_BYTES)).decode() for _ in range(2))
    return {"CARILLON_KEYS": f"1:{key}", "CARILLON_INDEX_KEY": index}


def local_keys(folder: Path) -> dict[str, str]:
    """The keys of the local stack in `folder`, made at the first call and readable by their owner alone. Raises
    Misconfigured where they cannot be."""
    file = home(folder) / KEYS.name
    if not file.exists():
        write(file, fresh_keys())
    return _read(file) or {}


def write(file: Path, settings: Mapping[str, str]) -> None:
    """Write settings into a file that is not there yet, for its owner alone."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(as_lines(settings))


def as_lines(settings: Mapping[str, str]) -> str:
    """Settings as lines for a shell to read."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())


def _read(file: Path) -> dict[str, str] | None:
    """The settings of a file, None where there is none."""
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read ({error.strerror}): mend or remove it") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{file} cannot be read (it is not UTF-8): mend it") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, given, value = line.partition("=")
        if given and name.startswith(_OURS):
            try:
                found[name] = "".join(shlex.split(value))
            except ValueError as error:
                raise Misconfigured(f"{file}, line {number}: {name} cannot be read ({error}): mend the line") from None
    return found
