"""Results as files, `.carillon/bench/NAME.json`, with all that is needed to judge them later. `AS=other` names the file
of a run that takes only some of the peers."""

import json
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from measure import OPTIONS, load, say, text
from peer import JARS, LOCAL

PACKAGES = ("faust-streaming", "confluent-kafka", "rocksdict", "aiokafka", "msgspec", "quixstreams", "bytewax")


class Result:
    """One run of a benchmark, from its start on."""

    def __init__(self, name: str) -> None:
        self._name, self._file = name, text("AS", name)
        self._began, self._load = time.time(), load()

    def save(self, found: dict[str, Any]) -> None:
        """The whole result: into the file, and as the last line."""
        say(json.dumps(self.keep(found)))

    def keep(self, found: dict[str, Any]) -> dict[str, Any]:
        """Write what there is so far, in case the run does not come to its end; returns it with the load."""
        told = found | {"load_before": round(self._load, 2), "load_after": round(load(), 2)}
        about = {
            "benchmark": self._name,
            "command": " ".join(Path(a).name if a.endswith(".py") else a for a in sys.argv),
            "options": OPTIONS,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
            "took_s": round(time.time() - self._began, 1),
            "machine": machine(),
            "versions": versions(),
        }
        path = LOCAL / "bench" / f"{self._file}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about | told, indent=1) + "\n")
        return told


def machine() -> dict[str, Any]:
    """Cores, their model, memory in GB."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cores": len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE)),
        "cpu": model.group(1) if model else platform.processor(),
        "memory_gb": round(int(memory.group(1)) / 2**20) if memory else None,
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """What took part. A package that the peers have in another version is told twice."""
    theirs = LOCAL / "peers" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    found = {"python": platform.python_version(), "java": _java()}
    for place, path in (("", None), (" (peers)", [str(theirs)])):
        for one in distributions(path=path) if path else distributions():
            name = one.metadata["Name"]
            if name in PACKAGES and found.get(name) != one.version:
                found[f"{name}{place}"] = one.version
    for folder, jar in ((LOCAL / "lib" / "kafka", "kafka-server"), (JARS, "kafka-streams")):
        for path in folder.glob(f"{jar}-[0-9]*.jar"):
            found[jar] = path.stem.removeprefix(f"{jar}-")
    return found


def _java() -> str:
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return told.splitlines()[-1] if told else "none"
