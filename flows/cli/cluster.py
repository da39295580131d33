"""`carillon topics` and `carillon setup`."""

import click

from flows import roster
from flows.cli.doors import reached
from flows.cluster import Change
from flows.preparation import cluster, prepare
from flows.settings import Settings


@click.group()
def topics() -> None:
    """Hold the topics of the cluster against the catalogue.

    \b
    Example:  carillon topics plan
    """


@topics.command()
def plan() -> None:
    """Say what differs, and change nothing.

    \b
    Example:  carillon topics plan
    """
    settings = Settings.from_environment()
    with reached(settings):
        _show(cluster(settings).plan(roster.topics()))


@topics.command("apply")
def apply_() -> None:
    """Create and configure what `plan` names. Topics of another partition count are refused.

    \b
    Example:  carillon topics apply
    """
    settings = Settings.from_environment()
    with reached(settings):
        _show(cluster(settings).apply(roster.topics()))


@click.command()
def setup() -> None:
    """Make topics, DynamoDB tables, the versioned bucket and the seed templates; what is there stays as it is.

    \b
    Example:  carillon setup
    """
    settings = Settings.from_environment()
    with reached(settings):
        changed, published = prepare(settings)
    click.echo(f"Ready: {changed} topics changed, {published} templates published.")


def _show(changes: list[Change]) -> None:
    for change in changes:
        click.echo(f"{change.need:10}{change.topic.name:45}{change.what}")
    click.echo(
        f"{len(changes)} of {len(roster.topics())} topics differ." if changes else "Every topic is as it should be."
    )
