"""The ledger: one JSON line for every message request read, on file before any answer to it leaves.

Rows wait in memory until the end of the loop's tick and go to the file in one write(). They are not synced: a killed
sandbox loses nothing that was written, a killed machine what its page cache held. Reading goes through the file too,
so a long run costs eight bytes of memory a row.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from array import array
from pathlib import Path

import orjson


class LedgerError(Exception):
    """The ledger cannot be kept; the message says what to do."""


class Ledger:
    """Rows by index, from 0. An existing file is taken up again, so indexes go on over a restart."""

    def __init__(self, path: Path | None = None) -> None:
        """Without a `path` the rows go to an unnamed file that vanishes with the process.

        Raises LedgerError if the file cannot be opened or another sandbox writes to it.
        """
        self._fd = _open(path)
        self._starts = array("Q")
        self._end = 0
        self._waiting: list[bytes] = []
        self._take_up()

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, row: dict[str, object]) -> None:
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._starts.append(self._end)
        self._end += len(line)
        self._waiting.append(line)

    def flush(self) -> None:
        """Put what waits on file. Raises OSError if the file takes no more."""
        if not self._waiting:
            return
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        while data:
            data = data[os.write(self._fd, data) :]

    def rows(self, since: int, limit: int | None = None) -> tuple[bytes, int]:
        """A JSON array of the rows from index `since` on, at most `limit`, and the index after the last of them."""
        self.flush()
        start = min(max(since, 0), len(self))
        stop = len(self) if limit is None else min(start + limit, len(self))
        if start >= stop:
            return b"[]", start
        begin, end = self._starts[start], self._starts[stop] if stop < len(self) else self._end
        lines = _read(self._fd, begin, end)
        return b"[%s]" % lines[:-1].replace(b"\n", b","), stop

    def close(self) -> None:
        self.flush()
        os.close(self._fd)

    def _take_up(self) -> None:
        """Index the rows of an earlier run; cut a last line that a kill tore, for no answer to it ever left."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._fd, self._end)
                    break
                self._starts.append(self._end)
                self._end += len(line)


def _open(path: Path | None) -> int:
    if path is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot open the ledger {path}: {error.strerror}; name a writable file") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LedgerError(f"the ledger {path} is no regular file; name one")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise LedgerError(f"another sandbox writes to {path}; stop it or name another file") from error
    return fd


def _read(fd: int, begin: int, end: int) -> bytes:
    parts = []
    while begin < end:
        part = os.pread(fd, end - begin, begin)
        if not part:
            raise LedgerError("the ledger file was cut while the sandbox ran; start the sandbox again")
        parts.append(part)
        begin += len(part)
    return b"".join(parts)
