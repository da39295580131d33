"""`carillon demo` as its user meets it: another process, its output, its exit code, what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
LIMIT_S = 200.0

pytestmark = pytest.mark.timeout(LIMIT_S + 40)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".carillon").mkdir()
    (tmp_path / ".carillon" / "lib").symlink_to(REPOSITORY / ".carillon" / "lib")
    return tmp_path


@contextmanager
def demo(home: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **settings}
    command = [sys.executable, "-u", "-m", "flows.cli", "demo"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def left(home: Path) -> set[str]:
    """Files of the folder, and processes whose command line names it."""
    files = {path.name for path in (home / ".carillon").iterdir()}
    processes = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_text()
            except OSError:
                continue
            if str(home) in line:
                processes.add(line)
    return files | processes


def await_line(process: subprocess.Popen[str], sign: str) -> list[str]:
    assert process.stdout is not None
    deadline, heard = time.monotonic() + LIMIT_S, []
    for line in process.stdout:
        heard.append(line)
        if sign in line:
            return heard
        assert time.monotonic() < deadline
    pytest.fail("".join(heard))


STEP = re.compile(
    r"""\d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d\.\d{3}   # time
    \ +\+\d+\.\d{3}\ s                           # after it was accepted
    \ +(?P<step>[a-z]+)
    (?:\ +(?:push|sms|email)\ +(?P<attempt>\d+)\ +(?P<provider>fcm|twilio|sendgrid))?
    (?:\ +(?P<reason>[\w(][\w ()]*))?""",
    re.VERBOSE,
)
"""One line of a trace: a decision about the notification, or a move of one of its deliveries."""


def its_trace_tells_every_step_in_time(traced: str) -> None:
    told, row, _ = traced.partition("\nRow: status SENT, ")
    assert row, traced
    _, headings, *lines = told.splitlines()
    assert headings.split() == ["time", "(UTC)", "after", "step", "channel", "attempt", "provider", "reason"]
    found = [STEP.fullmatch(line) for line in lines]
    assert None not in found, traced
    steps = [step.groupdict() for step in found if step is not None]
    names = [step["step"] for step in steps]
    assert "sent" in names, traced
    assert "routed" in names[: names.index("sent")], traced
    for step in steps:
        if step["step"] == "routed":
            assert re.fullmatch(r"1 delivery|[2-9] deliveries", step["reason"] or ""), traced
        if step["step"] in ("retrying", "sent"):
            assert step["provider"], traced
        if step["step"] == "retrying":
            assert step["reason"], traced


def test_the_demo_ends_by_itself_with_both_sums_closed_and_leaves_nothing(home: Path) -> None:
    # A setting of the shell must not reach the demo: nothing listens there.
    with demo(home, DEMO_SECONDS="8", CARILLON_KAFKA="127.0.0.1:9") as process:
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    assert "Both sums close: " in said
    announced = re.search(r"announced (\d+), ended (\d+)", said)
    assert announced is not None
    assert announced[1] == announced[2]
    assert int(announced[1]) > 1_000
    wrote = re.search(r"upstream wrote (\d+)", said)
    assert wrote is not None
    records = [int(found) for found in re.findall(r"notifications\.(?:high|low) +(\d+) records", said)]
    assert sum(records) == int(wrote[1])
    for reason in ("same_request", "opted_out", "unknown_user", "conflict", "unreadable", "wrong_lane", "too_large"):
        assert f": {reason} " in said
    assert "taken twice under one reference: 0" in said
    assert re.search(r"otp +p50 +\d+ +p90 +\d+ +p99 +\d+", said)
    its_trace_tells_every_step_in_time(said.partition("$ carillon trace ")[2])
    assert left(home) == {"keys.env", "lib"}


def test_ctrl_c_while_it_runs_takes_the_sums_all_the_same(home: Path) -> None:
    with demo(home) as process:
        heard = await_line(process, "sending: ")
        assert (home / ".carillon" / "stack.env").exists()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, "".join(heard) + said
    assert "Both sums close: " in said
    assert left(home) == {"keys.env", "lib"}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_before_it_runs_leaves_nothing(home: Path, ending: signal.Signals) -> None:
    with demo(home) as process:
        await_line(process, "ready after")
        process.send_signal(ending)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert left(home) == {"keys.env", "lib"}
