"""Beside a running `carillon up` every command finds its settings; what is set already wins."""

import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from flows.cli import environment
from schemas.sealing import KeyRing

Carillon = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / environment.HOME).mkdir()
    return tmp_path


def test_a_running_stack_fills_what_the_environment_lacks(folder: Path) -> None:
    (folder / environment.STACK).write_text("CARILLON_KAFKA=127.0.0.1:1\nCARILLON_FCM_KEY='a b\\nc'\nAWS_REGION=here\n")
    settings = {"CARILLON_KAFKA": "mine:2"}
    environment.fill(settings, folder)
    assert settings == {"CARILLON_KAFKA": "mine:2", "CARILLON_FCM_KEY": "a b\\nc", "AWS_REGION": "here"}


def test_variables_that_are_not_ours_are_left_alone(folder: Path) -> None:
    (folder / environment.STACK).write_text("PATH=/elsewhere\n# a comment\nCARILLON_BUCKET=b\n")
    settings: dict[str, str] = {}
    environment.fill(settings, folder)
    assert settings == {"CARILLON_BUCKET": "b"}


def test_without_a_running_stack_nothing_is_filled_not_even_its_keys(folder: Path) -> None:
    environment.local_keys(folder)
    settings: dict[str, str] = {}
    environment.fill(settings, folder)
    assert settings == {}


def test_local_keys_are_made_once_and_readable_by_their_owner_alone(folder: Path) -> None:
    first = environment.local_keys(folder)
    assert environment.local_keys(folder) == first
    assert stat.S_IMODE((folder / environment.KEYS).stat().st_mode) == 0o600


def test_the_keys_of_a_local_stack_are_filled_with_its_addresses(folder: Path) -> None:
    keys = environment.local_keys(folder)
    (folder / environment.STACK).write_text("")
    settings: dict[str, str] = {}
    environment.fill(settings, folder)
    assert settings == keys


def test_keys_prints_a_fresh_pair_that_a_shell_reads_and_a_ring_takes(carillon: Carillon) -> None:
    printed = carillon("keys").output
    assert printed != carillon("keys").output
    show = f'{printed}\nprintf "%s %s" "$CARILLON_KEYS" "$CARILLON_INDEX_KEY"'
    keys, index_key = subprocess.check_output(["sh", "-c", show], text=True).split()
    assert repr(KeyRing.from_text(keys, index_key)) == "KeyRing(ids=[1])"


def test_settings_survive_the_way_through_lines(folder: Path) -> None:
    odd = {"CARILLON_FCM_KEY": 'it\'s $HOME `and` "more"\\n', "CARILLON_BUCKET": ""}
    (folder / environment.STACK).write_text(environment.as_lines(odd))
    settings: dict[str, str] = {}
    environment.fill(settings, folder)
    assert settings == odd
    assert shlex.split(environment.as_lines(odd))[0] == f"CARILLON_FCM_KEY={odd['CARILLON_FCM_KEY']}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"CARILLON_KAFKA=a:1\nCARILLON_S3='cut sho", "line 2: CARILLON_S3 cannot be read (No closing quotation)"),
        (b"CARILLON_BUCKET=a\\", "line 1: CARILLON_BUCKET cannot be read (No escaped character)"),
        (b"CARILLON_BUCKET=\xff", "cannot be read"),
    ],
)
@pytest.mark.parametrize("name", [environment.STACK, environment.KEYS])
def test_a_file_that_cannot_be_read_is_told_by_name_and_line_in_every_command(
    name: Path, text: bytes, says: str, carillon: Carillon, folder: Path
) -> None:
    (folder / environment.STACK).write_text("")
    (folder / name).write_bytes(text)
    done = carillon("flows")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert name.name in line
    assert says in line


def test_a_folder_where_a_file_should_be_is_told_by_name(carillon: Carillon, folder: Path) -> None:
    (folder / environment.STACK).mkdir()
    done = carillon("flows")
    assert (done.exit_code, "stack.env cannot be read (Is a directory)" in done.stderr) == (2, True)
