import json
import subprocess
import sys

import pytest


def end(raising: str) -> tuple[int, dict[str, str]]:
    """The exit code and the last log line of a process that dies of what `raising` raises."""
    program = f"""
from flows.engine.stop import die
from flows.logs import configure
from schemas.errors import *

configure()
def innermost():
    {raising}
try:
    innermost()
except Exception as error:
    die("the reason", error)
finally:
    print("an orderly end")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert "an orderly end" not in done.stdout
    found: dict[str, str] = json.loads(done.stderr.splitlines()[-1])
    return done.returncode, found


def test_the_process_ends_at_once_with_70_and_a_log_line_that_names_the_places() -> None:
    code, line = end("1 / 0")
    assert code == 70
    assert (line["event"], line["level"], line["why"]) == ("fail_stop", "critical", "the reason")
    assert line["trace"] == "ZeroDivisionError at <string>:8 < <string>:10"


def test_the_message_of_an_error_is_never_shown() -> None:
    assert "4711" not in json.dumps(end("raise ValueError('code 4711')")[1])


@pytest.mark.parametrize("kind", ["EngineBroken", "Misconfigured"])
def test_what_is_meant_for_the_operator_is_shown(kind: str) -> None:
    assert end(f"raise {kind}('do this next')")[1]["trace"] == "do this next"


@pytest.mark.parametrize(
    ("kind", "code"), [("EngineBroken", 70), ("Misconfigured", 2), ("LogRecreated", 2), ("Unreachable", 69)]
)
def test_the_exit_code_says_whether_another_start_can_help(kind: str, code: int) -> None:
    assert end(f"raise {kind}('what')")[0] == code
