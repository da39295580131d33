"""topics: the catalogue is whole and consistent, and nothing else spells a topic's name."""

import ast
from collections.abc import Iterator
from pathlib import Path

from schemas import metrics, topics
from schemas.channels import CHANNELS
from schemas.records import MAX_RECORD_BYTES
from schemas.topics import RETRY_TIERS_S, Cleanup, Topic
from schemas.vocabulary import Lane
from tables import attempts, dedup

REPOSITORY = Path(__file__).parents[2]
SOURCES = [
    path for package in ("schemas", "tables", "agents", "flows") for path in (REPOSITORY / package).rglob("*.py")
]
CATALOGUE = topics.catalogue()


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a file that is no docstring, no table's name and no part of a log or a command's name."""
    tree = ast.parse(path.read_text())
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out |= {id(part) for part in ast.walk(node) if isinstance(part, ast.Constant) and node.value is part}
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "tables":
            left_out |= {id(part) for part in ast.walk(node.slice)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
            left_out.add(id(node.args[0]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.lineno, node.value


def spelled(names: set[str], own: str) -> list[str]:
    """Where one of `names` is spelled outside the file that owns them: whole, or as the start of a string."""
    return [
        f"{path.relative_to(REPOSITORY)}:{line} {text!r}"
        for path in SOURCES
        if str(path.relative_to(REPOSITORY)) != own
        for line, text in literals(path)
        if any(text == name or text.startswith(f"{name}.") for name in names)
    ]


def test_nothing_but_the_catalogue_spells_the_name_of_a_topic() -> None:
    names = {topic.name for topic in CATALOGUE}
    names |= {name.rpartition(".")[0] for name in names if name.count(".")} | {"retries"}
    assert spelled(names, "schemas/topics.py") == []


def test_nothing_but_the_catalogue_spells_the_name_of_a_metric() -> None:
    assert spelled({metric.name for metric in metrics.METRICS}, "schemas/metrics.py") == []


def test_the_search_finds_names() -> None:
    assert len(SOURCES) > 50
    found = {text for _, text in literals(REPOSITORY / "schemas" / "topics.py")}
    assert {"statuses", "notifications."} <= found


def test_no_two_topics_share_a_name() -> None:
    assert len({topic.name for topic in CATALOGUE}) == len(CATALOGUE)


def test_each_lane_has_its_own_input_returns_channels_and_rooms() -> None:
    for lane in Lane:
        own = {topic.name for topic in CATALOGUE if lane in topic.name.split(".")}
        assert len(own) == 3 + len(CHANNELS) + len(RETRY_TIERS_S)
    assert {topic.name for topic in CATALOGUE if "." not in topic.name} == {
        "statuses",
        "preferences",
        "suppressions",
        "notification_dlq",
        "key_ring",
    }


def test_every_topic_carries_the_broker_s_clock_and_takes_what_the_engine_may_write() -> None:
    for topic in [*CATALOGUE, topics.changelog("route.high", "dedup", 3600)]:
        found = topic.settings()
        assert found["message.timestamp.type"] == "LogAppendTime", topic.name
        most_that_lz4_adds = MAX_RECORD_BYTES // 255 + 1_000
        assert int(found["max.message.bytes"]) > MAX_RECORD_BYTES + most_that_lz4_adds


def test_preferences_are_accepted_by_the_broker_s_clock_and_plain_ones_go_soon_but_not_before_they_are_read() -> None:
    found = topics.PREFERENCES.settings()
    assert found["message.timestamp.type"] == "LogAppendTime"
    assert (found["min.compaction.lag.ms"], found["max.compaction.lag.ms"]) == ("86400000", "604800000")


def test_the_key_of_a_topic_is_a_field_of_its_record() -> None:
    for topic in CATALOGUE:
        if topic.record is not None:
            fields = topic.key.split(" or ")[0].split(", ")
            assert {*fields} <= {*topic.record.__struct_fields__}, topic.name


def test_what_is_true_for_ever_is_compacted_and_kept_and_the_rest_is_deleted_by_age() -> None:
    for topic in CATALOGUE:
        compacted = topic.cleanup is Cleanup.COMPACT
        kept = compacted or topic is topics.KEY_RING  # a log whose order matters from its first record on
        assert kept == (topic.retention_s is None), topic.name
        assert topic.settings()["retention.ms"] == ("-1" if kept else str((topic.retention_s or 0) * 1000))


def test_tiers_ascend_and_the_longest_backoff_and_the_longest_asked_wait_have_their_room() -> None:
    seconds = [*RETRY_TIERS_S.values()]
    assert seconds == sorted(seconds) == [1, 2, 4, 8, 30, 120, 900, 3600]


def test_a_changelog_is_kept_by_age_in_segments_of_an_hour() -> None:
    for table in (dedup.TABLE, attempts.TABLE):
        log: Topic = topics.changelog("route.high", table.name, table.keep_s or 0)
        assert log.settings() == {
            "cleanup.policy": "delete",
            "retention.ms": str(26 * 3_600_000),
            "message.timestamp.type": "LogAppendTime",
            "compression.type": "producer",
            "max.message.bytes": "1048588",
            "segment.ms": "3600000",
        }
