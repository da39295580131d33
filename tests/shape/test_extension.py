"""The promise of the layout, kept: one new file each, a line for a stage, and the contracts cover what was added."""

import difflib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COPIED = ("schemas", "tables", "agents", "flows", "tests/contracts", "tests/agents/world.py", "pyproject.toml")

PROVIDER = '''
"""SMS by Pigeon."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from agents.provider import Call, Fault, Kind, Message, Provider, Reply, Result, Ruling
from agents.provider_reading import by_fault, by_table

CODES: Mapping[str, Ruling] = {"404": Ruling(Kind.REJECTED_RECIPIENT, "no_such_loft", suppress=True)}


@dataclass(frozen=True)
class Pigeon(Provider):
    name: ClassVar[str] = "pigeon"
    channel: ClassVar[str] = "sms"

    loft: str
    url: str = "https://pigeon.example"
    window: int = 2

    def call(self, message: Message, token: str | None) -> Call:
        form = {"to": message.address, "text": message.parts["body"], "ref": message.ref}
        return Call("POST", self.url, {}, urlencode(form).encode(), 5.0)

    def read(self, reply: Reply | Fault) -> Result:
        if isinstance(reply, Fault):
            return by_fault(self.name, reply)
        return by_table(self.name, CODES, str(reply.status), reply)


PROVIDER = Pigeon
'''

TABLE = '''
"""seen: how often a user was written to."""

from tables.table import Kind, Table

TABLE = Table("seen", Kind.CHANGELOGGED, keep_s=3600)
'''

TAP = '''
"""watch: remembers who was written about."""

from collections.abc import Sequence

from agents.stage import Input, Outbox, Tables
from schemas.keys import at
from schemas.topics import STATUSES
from tables import seen

READS = STATUSES
TABLE = seen.TABLE


def tap(batch: Sequence[Input], tables: Tables, outbox: Outbox) -> None:
    for record in batch:
        tables["seen"][at(record.partition, record.key or b"")] = b"1"
'''

STAGE = '''
"""cap: no more than so many at once."""

from collections.abc import Callable, Sequence

from agents.intake import Intake
from agents.stage import Outbox, Tables


def cap(most: int) -> Callable[[Sequence[Intake], Tables, Outbox], Sequence[Intake]]:
    def agent(items: Sequence[Intake], tables: Tables, outbox: Outbox) -> Sequence[Intake]:
        return items[:most]

    return agent
'''

ADDED = {
    "agents/providers/pigeon.py": PROVIDER,
    "tables/seen.py": TABLE,
    "agents/taps/watch.py": TAP,
    "agents/cap.py": STAGE,
}

EXPECTED = [
    *(line for lane in ("high", "low") for name in ("notifications", "misplaced", "returns") for line in (
        f"-  reads   {name}.{lane} > admit > dedup > enrich > route",
        f"+  reads   {name}.{lane} > admit > dedup > enrich > cap > route",
    )),
    "+",
    "+tap.watch",
    "+  lane    none",
    "+  reads   statuses > tap",
    "+  table   seen (changelogged, 1 h)",
    "+  writes  notification_dlq",
]  # fmt: skip


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with one file more for each kind of thing, and the line that puts the stage on the path."""
    tree = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        source, target = REPOSITORY / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name, text in ADDED.items():
        (tree / name).write_text(text.lstrip())
    path = tree / "flows" / "route.py"
    line = "        route(lane, ring, now_ms),\n"
    wired = path.read_text().replace(line, f"        cap(100),\n{line}")
    path.write_text(wired.replace("from agents.bury", "from agents.cap import cap\nfrom agents.bury", 1))
    return tree


def run(tree: Path, *arguments: str) -> str:
    command = [sys.executable, "-B", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_contracts_cover_what_was_added_and_pass(extended: Path) -> None:
    which = "pigeon or seen or watch or route or there_are"
    asked = ["-m", "pytest", "-p", "no:cacheprovider", "tests/contracts", "-k", which]
    told = run(extended, *asked, "-v")
    for name in ("pigeon", "seen", "tap.watch"):
        assert f"{name}" in told
    assert " passed" in told


def test_the_picture_shows_what_was_added_and_nothing_else(extended: Path) -> None:
    drawn = run(extended, "-c", "from flows.picture import picture; print(picture(), end='')")
    before = (REPOSITORY / "tests" / "shape" / "topology.txt").read_text()
    changed = difflib.unified_diff(before.splitlines(), drawn.splitlines(), n=0, lineterm="")
    lines = [line for line in changed if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert sorted(lines) == sorted(EXPECTED)


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    for package in ("deploy", "deploy/sandbox", "deploy/local"):
        (tree / package).mkdir(exist_ok=True)
        (tree / package / "__init__.py").touch()
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)


def test_the_layers_hold_for_what_was_added(extended: Path) -> None:
    done = lint(extended)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("path", "imported", "contract"),
    [
        ("agents/taps/watch.py", "agents.taps.volume", "Taps do not import taps"),
        ("agents/deliver.py", "agents.taps.watch", "Nothing on the path imports a tap"),
        ("flows/deliver.py", "agents.taps.watch", "Nothing on the path imports a tap"),
        ("flows/taps.py", "flows.record", "Flows do not import flows"),
        ("agents/providers/pigeon.py", "agents.providers.twilio", "Providers do not import providers"),
        ("agents/route.py", "agents.enrich", "Stages do not import stages"),
    ],
)
def test_an_import_across_what_stands_apart_is_found(extended: Path, path: str, imported: str, contract: str) -> None:
    file = extended / path
    text = file.read_text()
    try:
        file.write_text(f"{text}\nimport {imported}\n")
        done = lint(extended)
    finally:
        file.write_text(text)
    assert done.returncode == 1
    broken = [line for line in done.stdout.splitlines() if line.endswith(" BROKEN")]
    assert [line.startswith(contract) for line in broken] == [True], done.stdout[-3000:]
