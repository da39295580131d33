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
@click.option("--templates", is_flag=True, help="Publish seed templates that are newer than the published ones, too.")
@click.option(
    "--retire-key",
    "retiring",
    multiple=True,
    type=click.IntRange(1, 255),
    help="Let processes do without this key id; may be repeated. What it sealed opens no more.",
)
def setup(templates: bool, retiring: tuple[int, ...]) -> None:
    """Make topics, DynamoDB tables, the versioned bucket and the seed templates, and register the key ring.

    What is there stays as it is. Workers start only with the key ring that is registered; run this again after a key
    was added to CARILLON_KEYS of every process.

    \b
    Examples:  carillon setup
               carillon setup --retire-key 1
    """
    settings = Settings.from_environment()
    with reached(settings):
        done = prepare(settings, retiring, newer_seeds=templates)
    if done.keys:
        click.echo(f"Key ring registered: ids {', '.join(map(str, done.keys))} are new.")
    for seed in done.newer:
        click.echo(
            f"Template {seed.template_id}: version {seed.published} is published, the seed has version {seed.version}: "
            "`carillon setup --templates` publishes it."
        )
    click.echo(f"Ready: {done.topics} topics changed, {len(done.templates)} templates published.")


def _show(changes: list[Change]) -> None:
    for change in changes:
        click.echo(f"{change.need:10}{change.topic.name:45}{change.what}")
    click.echo(
        f"{len(changes)} of {len(roster.topics())} topics differ." if changes else "Every topic is as it should be."
    )
