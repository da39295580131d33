"""The `carillon` command. Each command is a file or a few to a file; they are imported when they are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from os import environ
from pathlib import Path
from typing import Any

import click

from flows.cli import environment
from schemas.errors import CarillonError, Unreachable


@dataclass(frozen=True, slots=True)
class Known:
    """A command as `carillon --help` shows it: its module here, what it does, one example."""

    module: str
    does: str
    example: str


COMMANDS: Mapping[str, Known] = {
    "demo": Known("demo", "Everything at once: servers, workers, traffic, faults, and the two sums.", "carillon demo"),
    "up": Known("local", "Keep the local servers up until Ctrl-C.", "carillon up --fresh"),
    "keys": Known("local", "Print a fresh pair of keys as settings.", "carillon keys >> settings.env"),
    "setup": Known("cluster", "Make topics, tables, bucket and seed templates.", "carillon setup"),
    "topics": Known("cluster", "Hold the topics against the catalogue.", "carillon topics plan"),
    "run": Known("workers", "Run all workers here, one process a lane.", "carillon run --workers 2"),
    "worker": Known("workers", "Host some flows in one process.", "carillon worker --lane high --id high-0"),
    "prefer": Known(
        "write", "Write a user's addresses and opt-outs.", "carillon prefer --user ada --address sms=+4917600000001"
    ),
    "send": Known(
        "write",
        "Ask for a notification, as a producer would.",
        "carillon send --user ada --template otp --class otp --channel sms --param code=123456",
    ),
    "trace": Known(
        "trace", "Tell every step of a notification.", "carillon trace 0b9f3a52-5d5e-5c1f-9e0a-7d1f4c1f2f10"
    ),
    "flows": Known("flows", "List the flows: lane, topics, tables.", "carillon flows --picture"),
    "dlq": Known("dlq", "Look into the dead letters.", "carillon dlq ls --cause retries_spent"),
}


class Refused(click.ClickException):
    """An error of ours on its way out: one line and an exit code, 2 unless another start can help."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = code


class Commands(click.Group):
    """Finds the commands of the table above, and turns our errors into one line each."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what is no text: Python keeps such bytes of a command line as lone surrogates."""
        for place, argument in enumerate(args, 1):
            if any("\ud800" <= sign <= "\udfff" for sign in argument):
                raise Refused(f"argument {place} is not UTF-8: set the terminal to it, or write the argument otherwise")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[cmd_name].module}"), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each does, with an example under it."""
        with formatter.section("Commands, in the order one meets them"):
            for name, known in COMMANDS.items():
                formatter.write(f"  {name:8}{known.does}\n{'':10}$ {known.example}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; CarillonError is for people and never shows a traceback."""
        try:
            return super().invoke(ctx)
        except CarillonError as error:
            raise Refused(str(error), 69 if isinstance(error, Unreachable) else 2) from None


@click.command(cls=Commands, context_settings={"max_content_width": 110})
def main() -> None:
    """Carillon takes a notification as an event on Kafka and sees to it that the right person gets it once, by push,
    SMS or email.

    Settings are CARILLON_* variables: flows/settings.py names Carillon's own with their defaults, agents/providers/
    those of each provider; a name that nothing reads is refused. The AWS region is CARILLON_REGION, else AWS_REGION,
    else AWS_DEFAULT_REGION, else eu-central-1. Exit codes: 2 for what has to be mended first, 69 for a server that does
    not answer. Beside a running `carillon up` nothing needs to be set: what the environment lacks is read
    from .carillon/stack.env and .carillon/keys.env of this folder.
    """
    environment.fill(environ, Path.cwd())
