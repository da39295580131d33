"""Bring what the local stack needs on this machine: `python -m deploy.local.fetch [LIB]`, run by `make setup`.

Maven fetches Kafka and DynamoDB Local (whose licence forbids passing it on, so the jars are never committed); then
Kafka runs once, to leave an archive of its loaded classes and a formatted log directory. All is made again when a pom
or the Java changes, and only then.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from deploy.local import children, java, ports
from deploy.local.servers import ARCHIVE, CONTROLLER, FORMATTED, HERE, REPOSITORY, SERVERS, Plan, kafka_command

JAR_FOLDERS = ("kafka", "dynamodb")
CLUSTER_ID = "Q2FyaWxsb25Mb2NhbA"  # any 16 bytes in base64; every local broker is a copy of one formatted folder
STAMP = "stamp"
TRAINING_LIMIT = 60.0  # seconds; 3 to 6 are usual


class FetchError(Exception):
    """Something could not be fetched or made ready; the message says what to do."""


def fetch(lib: Path, say: Callable[[str], None]) -> None:
    """Fill `lib`, or return at once when it already holds what the poms and the installed Java call for."""
    wanted = _fingerprint(lib)
    stamp = lib / STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    for name in JAR_FOLDERS:
        say(f"fetching {name} through Maven (some 45 MB)")
        _jars(name, lib / name)
    say("training Kafka's class archive")
    _train(lib)
    stamp.write_text(wanted)


def _fingerprint(lib: Path) -> str:
    digest = hashlib.sha256(_run([java.java(), "-version"]).encode())
    for name in JAR_FOLDERS:
        digest.update((HERE / name / "pom.xml").read_bytes())
    digest.update(str(lib).encode())  # the archive holds for one class path, which has absolute names
    return digest.hexdigest()


def _jars(name: str, target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise FetchError("No `mvn` on the PATH: install Maven (Debian: apt-get install maven).")
    shutil.rmtree(target, ignore_errors=True)
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    _run([maven, "-q", "-B", "-f", str(HERE / name / "pom.xml"), *copy])


def _train(lib: Path) -> None:
    """Format a log directory, boot a broker on a copy of it, and let it write the archive as it exits."""
    plan = Plan(lib)
    shutil.rmtree(lib / FORMATTED, ignore_errors=True)
    (lib / ARCHIVE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=lib) as scratch, ports.Reservation(("kafka", CONTROLLER), {}) as held:
        data = Path(scratch)
        command = kafka_command(plan, data, held.ports, options=[f"-XX:ArchiveClassesAtExit={lib / ARCHIVE}"])
        _run(formatter(plan, data))
        shutil.copytree(data / "logs", lib / FORMATTED)
        held.release()
        nursery = children.Nursery()
        broker = nursery.spawn("kafka", command, data / "kafka.log")
        try:
            _await_ready(broker, held.ports["kafka"])
        finally:
            children.stop([broker], grace=TRAINING_LIMIT)
            nursery.close()
    if not (lib / ARCHIVE).exists():
        raise FetchError(f"Kafka wrote no class archive to {lib / ARCHIVE}: is the disk full? Run `make setup` again.")


def formatter(plan: Plan, data: Path) -> list[str]:
    """The command that formats the log directory which the properties in `data` name."""
    arguments = ["format", "-t", CLUSTER_ID, "-c", str(data / "server.properties")]
    log = f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"
    return java.command(
        plan.lib / "kafka", "kafka.tools.StorageTool", arguments, pace="quick", heap="256m", options=[log]
    )


def _await_ready(broker: children.Child, port: int) -> None:
    deadline = time.monotonic() + TRAINING_LIMIT
    while not SERVERS["kafka"].ready(port):
        if not broker.alive():
            raise FetchError(broker.obituary())
        if time.monotonic() > deadline:
            raise FetchError(f"Kafka gave no answer in {TRAINING_LIMIT:.0f} s. The end of its log:\n{broker.tail()}")
        time.sleep(0.05)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise FetchError(f"{Path(command[0]).name} failed with exit code {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


def main() -> None:
    """Fetch into the folder named on the command line, .carillon/lib of this repository by default."""
    lib = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / ".carillon" / "lib"
    lib.mkdir(parents=True, exist_ok=True)
    try:
        fetch(lib.resolve(), click.echo)
    except (FetchError, java.JavaMissing, ports.PortTaken) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
