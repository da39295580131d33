"""`carillon up` as its user meets it: another process, its output, its file, its exit code."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
LIMIT = 30.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".carillon").mkdir()
    (tmp_path / ".carillon" / "lib").symlink_to(REPOSITORY / ".carillon" / "lib")
    return tmp_path


def begun(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "deploy.local.up"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, once its stack is up."""
    with begun(home) as process:
        await_line(process, "Ready.")
        yield process
        process.kill()


def await_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + LIMIT
    for line in process.stdout:
        if line.startswith(start):
            return
        assert time.monotonic() < deadline
    pytest.fail(f"it ended before it said {start}: {process.communicate()[1]}")


def redis_pid(home: Path) -> int:
    """The one server that tells its own process id in its log."""
    return int((home / ".carillon" / "logs" / "redis.log").read_text().split(":", 1)[0])


def test_a_shell_reads_the_settings_of_the_running_stack(home: Path, up: subprocess.Popen[str]) -> None:
    show = (
        'set -a; . .carillon/stack.env; printf "%s|%s|%s" "$CARILLON_KAFKA" "$CARILLON_TWILIO_URL" "$CARILLON_FCM_KEY"'
    )
    kafka, twilio, key = subprocess.check_output(["sh", "-c", show], cwd=home, text=True).split("|")
    assert kafka.startswith("127.0.0.1:")
    assert twilio.endswith("/twilio")
    assert key.startswith("-----BEGIN PRIVATE KEY-----\\n")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_orderly_end_removes_the_settings_and_exits_with_0(
    home: Path, up: subprocess.Popen[str], ending: signal.Signals
) -> None:
    up.send_signal(ending)
    assert up.wait(LIMIT) == 0
    assert not (home / ".carillon" / "stack.env").exists()


def test_a_second_one_in_the_folder_is_refused_and_leaves_the_first_its_settings(
    home: Path, up: subprocess.Popen[str]
) -> None:
    written = (home / ".carillon" / "stack.env").read_text()
    with begun(home) as second:
        _, complaint = second.communicate(timeout=LIMIT)
    assert (second.returncode, up.poll()) == (1, None)
    assert "Another stack uses" in complaint
    assert (home / ".carillon" / "stack.env").read_text() == written


def test_a_dead_server_ends_it_with_its_name_and_code_1(home: Path, up: subprocess.Popen[str]) -> None:
    os.kill(redis_pid(home), signal.SIGKILL)
    _, complaint = up.communicate(timeout=LIMIT)
    assert up.returncode == 1
    assert "redis ended with exit code -9" in complaint
    assert not (home / ".carillon" / "stack.env").exists()
