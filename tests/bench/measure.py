"""What a benchmark reads off the machine and how it says it.

CPU is user + system time of a process and all its threads (/proc/PID/stat, in ticks of 10 ms); nothing is asked of the
process itself while it is measured.
"""

import math
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


OPTIONS: dict[str, str] = {}
"""What was asked for, or taken by default, by the option's name."""


class BenchError(Exception):
    """A run that cannot be believed: something ended, stalled or wrote what it should not have."""


def option(name: str, default: int) -> int:
    """A number from `NAME=value` on the command line or in the environment."""
    return int(text(name, str(default)))


def text(name: str, default: str) -> str:
    """A word from `NAME=value` on the command line or in the environment."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    OPTIONS[name] = found = given.get(name) or os.environ.get(name) or default
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, its ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def rss_mb(pid: int) -> float:
    """Resident memory now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def load() -> float:
    """Load average of the last minute: what else the machine does, our own last minute included."""
    return os.getloadavg()[0]


def threads_s(pid: int) -> dict[str, float]:
    """CPU seconds of its living threads, by the name the kernel knows; the first thread is `main`."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
        except FileNotFoundError:  # it has ended meanwhile
            continue
        name = "main" if task.name == str(pid) else name
        spent = fields.split()
        found[name] = found.get(name, 0.0) + (int(spent[11]) + int(spent[12])) * _TICK_S
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """Events committed, CPU seconds of the process, wall clock."""

    at: float
    done: int
    cpu: float


def steady(samples: Sequence[Sample]) -> float:
    """CPU us per event between the half and nine tenths of the way, where there are samples to tell them by: a virtual
    machine that compiles what is hot has done so by then."""
    first, last = samples[0].done, samples[-1].done
    inner = [s for s in samples if 0.5 <= (s.done - first) / (last - first) <= 0.9]
    if len(inner) < 2:
        inner = list(samples)
    return (inner[-1].cpu - inner[0].cpu) / (inner[-1].done - inner[0].done) * 1e6


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median and range of a few runs."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def say(text: str = "") -> None:
    """A line of the report."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The exact percentile of sorted values: the smallest that has at least `share` of them at or below it."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
