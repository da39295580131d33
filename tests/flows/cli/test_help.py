"""The command teaches itself, and its errors say what to do next."""

import shlex
from collections.abc import Callable

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


def test_every_group_lists_commands_that_give_examples(carillon: Carillon) -> None:
    for words in (("topics", "plan"), ("topics", "apply"), ("dlq", "ls"), ("dlq", "show")):
        assert carillon(*words, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("worker",), "`carillon flows` lists them"),
        (("worker", "rout.high"), "there are route.high, "),
        (("worker", "--lane", "high"), "`carillon keys` makes a pair"),
        (("prefer", "--user", "ada", "--address", "pigeon=coop"), "channels: push, sms, email"),
        (("prefer", "--user", "ada", "--address", "sms=12"), "no address of its form"),
        (("send", "--user", "ada", "--template", "otp", "--class", "otp", "--param", "code"), "write it as name=value"),
        (("prefer", "--user", "ada", "--opt-out", "news"), "write it as channel/category"),
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
    assert done.exit_code == 2
    assert "127.0.0.1:9 (CARILLON_KAFKA)" in done.stderr


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
