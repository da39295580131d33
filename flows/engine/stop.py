"""The one way the engine gives up: a log line, then the end of the process. Never a graceful stop that commits."""

import logging
import os
import sys
import traceback
from typing import NoReturn

from schemas.errors import EngineBroken, Misconfigured, Unreachable

EXIT_MISCONFIGURED = 2
"""As every command ends that is refused: starting it again mends nothing, a setting or some state has to be mended."""
EXIT_UNREACHABLE = 69
"""sysexits.h EX_UNAVAILABLE: a server does not answer; the supervisor restarts the process until it does."""
EXIT_BROKEN = 70
"""sysexits.h EX_SOFTWARE: the supervisor restarts the process under its id."""
EXIT_FAULTY = 78
"""sysexits.h EX_CONFIG: starting it again mends nothing, and buries more. It stays down until somebody has looked."""

log = logging.getLogger("carillon.engine")


def die(why: str, error: BaseException | None = None, code: int | None = None) -> NoReturn:
    """Log `why` and end the process at once, with `code` or else the one that goes with the error."""
    log.critical("fail_stop", extra={"why": why, "trace": _trace(error)})
    logging.shutdown()
    sys.stderr.flush()
    os._exit(exit_code(error) if code is None else code)


def exit_code(error: BaseException | None) -> int:
    """How a process ends by an error: the code says to its supervisor whether another start can help."""
    if isinstance(error, Unreachable):
        return EXIT_UNREACHABLE
    return EXIT_MISCONFIGURED if isinstance(error, Misconfigured) else EXIT_BROKEN


def _trace(error: BaseException | None) -> str:
    """The places an error went through, without its message, which can hold what must not be logged.

    Those for the operator (EngineBroken, Misconfigured) are of our own making and say what to do next.
    """
    if error is None:
        return ""
    if isinstance(error, EngineBroken | Misconfigured):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(
        f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames)
    )
