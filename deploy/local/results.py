"""What a run leaves: `.carillon/KIND/NAME.json` with its figures, and with all that they depend on.

Options are asked for here, so that a result can tell them, those taken by default included.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from deploy.local.servers import REPOSITORY

LOCAL = REPOSITORY / ".carillon"
_PACKAGES = ("faust-streaming", "confluent-kafka", "rocksdict", "aiokafka", "msgspec", "uvloop")
_asked: dict[str, str] = {}


def text(name: str, default: str) -> str:
    """A word from `NAME=value` on the command line or in the environment, where `make TARGET NAME=value` puts it."""
    _asked[name] = found = _given(name) or default
    return found


def _given(name: str) -> str | None:
    arguments = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    return arguments.get(name) or os.environ.get(name)


def option(name: str, default: int) -> int:
    """The same, a whole number."""
    return int(text(name, str(default)))


class Run:
    """One run, from its start on. AS=other gives its result another name, RESULTS another folder than .carillon."""

    def __init__(self, kind: str, name: str) -> None:
        self._path = Path(_given("RESULTS") or LOCAL) / kind / f"{_given('AS') or name}.json"
        self._began, self._load, self._pace = time.time(), os.getloadavg()[0], pace_ms()

    def keep(self, figures: dict[str, object]) -> dict[str, object]:
        """Write what there is so far; returns it with load and pace, for the last line that a run says."""
        about: dict[str, object] = {
            "command": shlex.join([Path(sys.argv[0]).name, *(f"{name}={value}" for name, value in _asked.items())]),
            "commit": _told("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*").strip(),
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
            "took_s": round(time.time() - self._began, 1),
            "machine": machine(),
            "versions": self.versions(),
        }
        told = figures | {
            "load_before": round(self._load, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "pace_ms_before": self._pace,
            "pace_ms_after": pace_ms(),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(about | told, indent=1) + "\n")
        return told

    def versions(self) -> dict[str, str]:
        """What took part."""
        java = re.search(r'version "([^"]+)"', _told("java", "-version"))
        return {
            "python": platform.python_version(),
            "java": java.group(1) if java else "none",
            "kafka": jar_version(LOCAL / "lib" / "kafka", "kafka-server"),
            **{package: version(package) for package in _PACKAGES},
        }


def machine() -> dict[str, object]:
    """Cores, their model, memory in GB, the kernel."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": os.cpu_count(),
        "cpu": model.group(1) if model else platform.processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
    }


def pace_ms() -> float:
    """CPU milliseconds of half a million additions, the least of five: how fast this machine is just now.

    Cores that are shared with other machines are slower by the hour, and no load or stolen time tells it.
    """
    took = []
    for _ in range(5):
        began, total = time.process_time(), 0
        for number in range(500_000):
            total += number
        took.append(time.process_time() - began)
    return round(min(took) * 1000, 1)


def jar_version(folder: Path, jar: str) -> str:
    """The version that the name of a jar tells."""
    return next((path.stem.removeprefix(f"{jar}-") for path in sorted(folder.glob(f"{jar}-[0-9]*.jar"))), "none")


def _told(*command: str) -> str:
    """What a program says; nothing if it is not here."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr
