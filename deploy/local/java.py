"""Command lines for the servers that run on Java."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Pace = Literal["quick", "steady"]

# "quick" leaves out the optimising compiler and the parallel collectors: Kafka then boots with a third of the CPU, for
# less throughput. "steady" is for load runs.
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms64m")


class JavaMissing(Exception):
    """No usable Java, or the jars were not fetched."""


def java() -> str:
    """The `java` on the PATH; raises JavaMissing when there is none."""
    found = shutil.which("java")
    if found is None:
        raise JavaMissing("No `java` on the PATH: install Java 17 (Debian: apt-get install openjdk-17-jre-headless).")
    return found


def class_path(folder: Path) -> str:
    """All jars of `folder` by name; the order is fixed because an archive of classes serves one class path alone."""
    jars = sorted(folder.glob("*.jar"))
    if not jars:
        raise JavaMissing(f"No jars in {folder}: run `make setup`, which fetches them through Maven.")
    return ":".join(str(jar) for jar in jars)


def command(
    jars: Path, main: str, arguments: Iterable[str], *, pace: Pace, heap: str, options: Iterable[str]
) -> list[str]:
    """The command line that runs class `main` from the folder `jars` with at most `heap` (as in "512m")."""
    flags = QUICK if pace == "quick" else ()
    return [java(), *flags, f"-Xmx{heap}", *options, "-cp", class_path(jars), main, *arguments]
