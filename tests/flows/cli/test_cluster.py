"""`carillon topics` and `carillon setup` against a real cluster and real stores."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from flows import preparation, roster
from flows.clients import Rows
from flows.settings import Settings
from flows.templates import Templates
from schemas import topics

Carillon = Callable[..., Result]


@pytest.fixture
def aws(prepared: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The prepared settings, with the AWS variables set for clients of this process."""
    for name, value in prepared.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def alter(brokers: str, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)


def test_after_setup_every_topic_of_the_catalogue_is_there_as_it_should_be(
    prepared: dict[str, str], carillon: Carillon
) -> None:
    assert carillon("topics", "plan", env=prepared).output == "Every topic is as it should be.\n"
    found = AdminClient({"bootstrap.servers": prepared["CARILLON_KAFKA"]}).list_topics(timeout=10).topics
    assert {topic.name for topic in roster.topics()} <= set(found)


def test_a_changed_setting_is_planned_and_mended(
    prepared: dict[str, str], carillon: Carillon, until: Callable[..., str]
) -> None:
    alter(prepared["CARILLON_KAFKA"], topics.DEAD_LETTERS.name, "retention.ms", str(29 * 24 * 3600 * 1000))
    until(f"configure {topics.DEAD_LETTERS.name}", "topics", "plan", env=prepared)
    assert carillon("topics", "apply", env=prepared).exit_code == 0
    until("Every topic is as it should be.", "topics", "plan", env=prepared)


def test_another_partition_count_is_planned_as_refused_and_not_applied(
    prepared: dict[str, str], carillon: Carillon
) -> None:
    other = {**prepared, "CARILLON_PARTITIONS": "9"}
    planned = carillon("topics", "plan", env=other)
    assert planned.exit_code == 0
    assert "has 8 partitions, the environment 9" in planned.output
    refused = carillon("topics", "apply", env=other)
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert re.fullmatch(
        r"Error: topics \S+, \S+, \S+ and \d+ more have 8 partitions; CARILLON_PARTITIONS says 9: "
        "see `carillon topics plan`",
        line,
    )


def test_setup_twice_changes_nothing(prepared: dict[str, str], carillon: Carillon) -> None:
    assert carillon("setup", env=prepared).output == "Ready: 0 topics changed, 0 templates published.\n"


def test_setup_leaves_a_later_version_of_a_seed_as_it_is(
    aws: Settings, prepared: dict[str, str], carillon: Carillon
) -> None:
    templates = Templates(aws)
    later = {"version": 2, "channels": {"sms": {"body": "New {{code}}"}}}
    seed = (preparation.SEEDS / "otp.json").read_bytes()
    templates.publish("otp", 2, json.dumps(later).encode())
    try:
        assert carillon("setup", env=prepared).exit_code == 0
        templates.warm()
        found = templates.peek("otp", None)
        assert getattr(found, "version", None) == 2
    finally:
        templates.publish("otp", 1, seed)


def test_setup_names_a_newer_seed_and_publishes_it_only_when_asked(
    aws: Settings, prepared: dict[str, str], carillon: Carillon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (preparation.SEEDS / "otp.json").read_bytes()
    (tmp_path / "otp.json").write_bytes(json.dumps(json.loads(first) | {"version": 7}).encode())
    monkeypatch.setattr(preparation, "SEEDS", tmp_path)
    try:
        told, *_ = carillon("setup", env=prepared).output.splitlines()
        assert told == (
            "Template otp: version 1 is published, the seed has version 7: `carillon setup --templates` publishes it."
        )
        assert Templates(aws).version("otp") == 1
        assert (
            carillon("setup", "--templates", env=prepared).output == "Ready: 0 topics changed, 1 templates published.\n"
        )
        assert Templates(aws).version("otp") == 7
    finally:
        Templates(aws).publish("otp", 1, first)


def test_the_tables_can_be_written_and_read(aws: Settings) -> None:
    assert Rows(aws).get("no-such-notification") is None


def test_every_seed_is_a_template_that_renders_for_the_channels_it_has() -> None:
    from agents.render import Template

    params = dict.fromkeys(("name", "code", "order", "state", "invoice", "amount", "due", "offer"), "x")
    for seed in preparation.SEEDS.glob("*.json"):
        template = Template.read(seed.read_bytes())
        for channel in json.loads(seed.read_bytes())["channels"]:
            assert all("{{" not in text for text in template.render(channel, params).values())
