import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import fetch

REPOSITORY = Path(__file__).parents[3]
LIB = REPOSITORY / ".carillon" / "lib"


def test_what_is_there_already_is_not_fetched_again() -> None:
    before = {path: path.stat().st_mtime_ns for path in LIB.rglob("*")}
    fetch.fetch(LIB, lambda line: pytest.fail(f"it began {line}"))
    assert {path: path.stat().st_mtime_ns for path in LIB.rglob("*")} == before


@pytest.mark.parametrize(("there", "missing"), [([], "Java 17"), (["java"], "install Maven")])
def test_a_missing_tool_is_named_with_the_way_to_get_it(tmp_path: Path, there: list[str], missing: str) -> None:
    for tool in there:
        (tmp_path / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} on the PATH"))
    bare = subprocess.run(
        [sys.executable, "-m", "deploy.local.fetch", str(tmp_path / "lib")],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode == 1
    assert missing in bare.stderr
