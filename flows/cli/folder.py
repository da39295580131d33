"""Folders and files of this machine: whether they can be written, and whether a process has them alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from deploy.local.lock import hold
from schemas.errors import Misconfigured


def writable(folder: Path, remedy: str) -> Path:
    """A folder, made where there is none. Raises Misconfigured, with the remedy, where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be written ({error.strerror}): {remedy}") from None


@contextmanager
def alone(file: Path, taken: str) -> Iterator[None]:
    """Hold a file that one process at a time can hold; who is killed lets go of it. Raises Misconfigured where it is
    `taken`."""
    try:
        descriptor = hold(file)
    except OSError as error:
        raise Misconfigured(f"{file} cannot be opened ({error.strerror}): let its owner run this") from None
    if descriptor is None:
        raise Misconfigured(taken)
    try:
        yield
    finally:
        os.close(descriptor)
