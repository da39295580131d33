"""Results of benchmarks: what any run leaves, with the versions of the peers."""

import json
import sys
from importlib.metadata import distributions
from typing import Any

from measure import say
from peer import JARS, LOCAL

from deploy.local.results import Run, jar_version

_PACKAGES = ("quixstreams", "bytewax", "confluent-kafka")


class Result(Run):
    """One run of a benchmark, from its start on."""

    def __init__(self, name: str) -> None:
        super().__init__("bench", name)

    def save(self, found: dict[str, Any]) -> None:
        """The whole result: into the file, and as the last line."""
        say(json.dumps(self.keep(found)))

    def versions(self) -> dict[str, str]:
        """Those of the peers' own environment are told apart."""
        path = LOCAL / "peers" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        theirs = {one.metadata["Name"]: one.version for one in distributions(path=[str(path)])}
        peers = {f"{name} (peers)": theirs[name] for name in _PACKAGES if name in theirs}
        if JARS.exists():
            peers["kafka-streams"] = jar_version(JARS, "kafka-streams")
        return super().versions() | peers
