"""The command teaches itself, and its errors say what to do next."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from flows.cli import COMMANDS, main

Carillon = Callable[..., Result]
NOWHERE = {"CARILLON_KAFKA": "127.0.0.1:9"}  # the discard port: nobody listens


def test_the_help_names_every_command_in_order_with_what_it_does_and_an_example(carillon: Carillon) -> None:
    said = carillon("--help").output
    places = [said.index(f"\n  {name:8}{known.does}\n{'':10}$ {known.example}\n") for name, known in COMMANDS.items()]
    assert places == sorted(places)
    assert places[0] == said.index("\n  demo ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_what_it_does_and_gives_an_example(name: str, carillon: Carillon) -> None:
    told = carillon(name, "--help")
    assert told.exit_code == 0
    assert "Example" in told.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_its_command_takes(name: str) -> None:
    words = shlex.split(COMMANDS[name].example.partition(" >> ")[0])[1:]
    command: click.Command | None = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    assert command is not None
    assert command.make_context(name, words) is not None


def every_command() -> list[tuple[str, click.Command]]:
    """(how it is called, the command), those of groups included."""
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)  # type: ignore[attr-defined]
        inner = command.commands.items() if isinstance(command, click.Group) else ()
        found += [(name, command), *((f"{name} {word}", each) for word, each in inner)]
    return found


@pytest.mark.parametrize(("name", "command"), every_command())
def test_every_command_and_every_option_of_it_says_what_it_is_for(name: str, command: click.Command) -> None:
    assert f"carillon {name}" in (command.help or "").partition("Example")[2]
    mute = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert mute == []


@pytest.mark.parametrize(("name", "command"), [(n, c) for n, c in every_command() if isinstance(c, click.Group)])
def test_what_a_group_says_of_its_commands_is_not_cut_short(name: str, command: click.Group) -> None:
    told = command.get_help(click.Context(command, info_name=name))
    assert "..." not in told.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("worker",), "`carillon flows` lists them"),
        (("worker", "rout.high"), "there are route.high, "),
        (("worker", "--lane", "high"), "`carillon keys` makes a pair"),
        (("prefer", "--user", "ada", "--address", "pigeon=coop"), "channels: push, sms, email"),
        (("prefer", "--user", "ada", "--address", "sms=12"), "give a number in E.164 form, such as +49"),
        (("prefer", "--user", "ada", "--address", "push=tok"), "give a registration token of 8 to 4096"),
        (("send", "--user", "ada", "--template", "otp", "--class", "otp", "--param", "code"), "write it as name=value"),
        (("prefer", "--user", "ada", "--opt-out", "news"), "write it as channel/category"),
        (
            ("send", "--user", "ada", "--template", "otp", "--class", "otp", "--channel", "fax"),
            "'push', 'sms', 'email'",
        ),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do_and_exits_with_2(
    words: tuple[str, ...], says: str, carillon: Carillon
) -> None:
    done = carillon(*words)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.output


def test_an_address_that_is_refused_is_not_repeated(carillon: Carillon) -> None:
    assert "ada@nowhere" not in carillon("prefer", "--user", "ada", "--address", "email=ada@nowhere").output


def test_a_broker_that_does_not_answer_is_named_with_its_setting(carillon: Carillon) -> None:
    done = carillon("dlq", "ls", env=NOWHERE)
    assert done.exit_code == 69
    assert "127.0.0.1:9 (CARILLON_KAFKA)" in done.stderr
    assert "`carillon up` starts a local one" in done.stderr


def test_credentials_that_are_not_set_are_named(tmp_path: Path) -> None:
    # In a process of its own: a client library keeps the credentials that it has once found.
    bare = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    line = [sys.executable, "-m", "flows.cli", "trace", "x"]
    done = subprocess.run(line, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" in done.stderr


def test_a_table_that_is_missing_is_told_with_the_command_that_makes_it(
    local: dict[str, str], carillon: Carillon
) -> None:
    done = carillon("trace", "x", env={**local, "CARILLON_LOGS_TABLE": "NoSuchTable"})
    assert done.exit_code == 2
    assert "ResourceNotFoundException. `carillon setup` makes what has to be there" in done.stderr


def test_two_lanes_in_one_process_are_refused_with_the_reason(local: dict[str, str], carillon: Carillon) -> None:
    done = carillon("worker", "route.high", "route.low", env=local)
    assert done.exit_code == 2
    assert "a marketing blast would then slow every OTP down" in done.stderr
    assert "--shared" in done.stderr


def test_the_roster_names_every_flow_with_its_lane_and_tables(carillon: Carillon) -> None:
    said = carillon("flows").output
    assert "route.high" in said
    assert "dedup (changelogged), preferences (source-backed)" in said
    assert "record" in said
