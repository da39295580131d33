"""A file that one process at a time can hold, while a descriptor of it is open: who is killed lets go of it."""

import fcntl
import os
from pathlib import Path


def hold(file: Path) -> int | None:
    """The descriptor that holds a file, made where there is none; None where another holds it. Raises OSError where it
    cannot be opened."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
