"""A disk of a few hundred MB, mounted in memory, which takes root."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from victims import ChaosError

TMPFS_MIB = 256


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A small disk at `folder`. Raises ChaosError where it may not be mounted."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ChaosError(f"no small disk could be mounted at {folder}, which takes root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        with contextlib.suppress(OSError):
            os.removedirs(folder)


def may_mount() -> bool:
    """Whether small disks can be mounted here."""
    with tempfile.TemporaryDirectory(prefix="carillon-chaos-") as folder:
        try:
            with small_disk(Path(folder) / "disk"):
                return True
        except ChaosError:
            return False
