"""Run a command that dies when its parent dies: `python -I -S leash.py PARENT_PID COMMAND...`.

The process asks Linux to be killed with its parent (prctl(2), PR_SET_PDEATHSIG), then becomes the command, so nothing
of it stays behind and a `kill -9` of the parent leaves no orphan. "Parent" is the thread that started it, not the
process: start it from a thread that lives as long as the command may. Where prctl is unknown the command just runs.

It stands alone (no imports of ours) because `-I -S` makes it start in some 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Tie this process to `parent` and become `command`; exits with 1 if the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was in force
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
