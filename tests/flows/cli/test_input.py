"""What a user types or a folder holds and no command can use: one line that says why, and nothing is written."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from confluent_kafka import Message

from flows.cli import dlq, trace
from flows.cli.records import readable, time_of
from flows.reading import Place
from schemas import topics
from schemas.records import DeadLetter, Status, encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Step

Carillon = Callable[..., Result]
KEYS = {"CARILLON_KEYS": f"1:{'A' * 43}=", "CARILLON_INDEX_KEY": f"{'A' * 43}="}
NOWHERE = {"CARILLON_KAFKA": "127.0.0.1:9", **KEYS}
SEND = ("send", "--template", "otp", "--class", "otp")


def refused(done: Result) -> str:
    """The one line of a command that refused."""
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    *_, line = done.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*SEND, "--user", ""), "`$.user_id`"),
        ((*SEND, "--user", "x" * 257), "`$.user_id`"),
        ((*SEND, "--user", "a\x1fb"), "U+001F"),
        ((*SEND, "--user", "ada", "--tenant", ""), "`$.tenant`"),
        ((*SEND, "--user", "ada", "--key", ""), "`$.idempotency_key`"),
        ((*SEND, "--user", "ada", "--category", ""), "`$.category`"),
        ((*SEND, "--user", "ada", "--key", "x" * 254, "--count", "11"), "`$.idempotency_key`"),
        ((*SEND, "--user", "ada", "--param", f"text={'x' * 600_000}"), "too_large"),
        (("prefer", "--user", ""), "`$.user_id`"),
        (("prefer", "--user", "ada", "--tenant", "x" * 257), "`$.tenant`"),
        (("prefer", "--user", "a\x1fb"), "U+001F"),
        (("prefer", "--user", "ada", "--locale", "x" * 1_000_000), "`$.locale`"),
    ],
)
def test_what_the_engine_would_bury_is_refused_before_anything_is_written(
    words: tuple[str, ...], says: str, carillon: Carillon
) -> None:
    line = refused(carillon(*words, env=NOWHERE))
    assert "the engine would not take it" in line
    assert says in line


@pytest.mark.parametrize(
    "words",
    [(*SEND, "--user", "ad\udce4"), ("prefer", "--user", "\udcff"), ("trace", "\udcff"), ("dlq", "show", "\udcff")],
)
def test_an_argument_that_is_no_utf_8_is_refused_by_its_place(words: tuple[str, ...], carillon: Carillon) -> None:
    assert f"argument {len(words)} is not UTF-8" in refused(carillon(*words, env=NOWHERE))


def test_an_empty_id_is_not_looked_for(carillon: Carillon) -> None:
    assert "`carillon send` prints ids" in refused(carillon("trace", "", env=NOWHERE))


def test_the_help_says_where_every_variable_is_named(carillon: Carillon) -> None:
    said = " ".join(carillon("--help").output.split())
    assert "flows/settings.py" in said
    assert "agents/providers/" in said


STATUS = Status(notification_id="n1", tenant="acme", user_id="ada", step=Step.ROUTED, at_ms=1, position="a/0/0")
LETTER = DeadLetter(cause="conflict", position="notifications.high/0/7", at_ms=1)
BROKEN = (b"\xff\xfe", b'{"step"', b'{"step": "no such step"}', b"", b"[" * 100_000)


def message(topic: str, offset: int, value: bytes | None, key: bytes = b"n1") -> Message:
    return Message(topic=topic, partition=0, offset=offset, key=key, value=value)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_record_that_cannot_be_read_is_told_by_its_position_and_the_others_are_shown(
    broken: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [message("statuses", 4, broken), message("statuses", 5, None), message("statuses", 6, encode(STATUS))]
    assert list(readable(there, Status)) == [STATUS]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "statuses/0/4 cannot be read and is left out\n")


class Broken:
    """Topics in each of which a record cannot be read."""

    def __init__(self, brokers: str) -> None:
        self._sound = {topics.STATUSES.name: encode(STATUS), topics.DEAD_LETTERS.name: encode(LETTER)}

    def partitions(self, topic: str) -> list[Place]:
        return [(topic, 0)]

    def read(self, places: list[Place], starts: object = None) -> Iterator[Message]:
        for topic, _ in places:
            yield message(topic, 1, b"\xff")
            yield message(topic, 2, self._sound[topic])

    def close(self) -> None:
        """Nothing is open."""


class NoRows:
    """A store without rows."""

    def __init__(self, settings: object) -> None:
        """Of any settings."""

    def get(self, id_: str) -> None:
        """There is none."""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "Reader", Broken)
    monkeypatch.setattr(dlq, "Reader", Broken)
    monkeypatch.setattr(trace, "Rows", NoRows)


@pytest.mark.usefixtures("broken")
def test_a_trace_is_told_though_records_of_it_cannot_be_read(carillon: Carillon) -> None:
    done = carillon("trace", "n1")
    assert done.exit_code == 0
    assert "routed" in done.stdout
    assert "Dead letter: conflict" in done.stdout
    assert "statuses/0/1 cannot be read" in done.stderr
    assert "notification_dlq/0/1 cannot be read" in done.stderr


PLACE = LETTER.position
BURIED = Status(notification_id="", tenant="", user_id="", step=Step.DEAD, at_ms=1, position=PLACE, reason="invalid")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Message]]:
    """The records of each topic, and no row in the store."""
    found: dict[str, list[Message]] = {topics.STATUSES.name: [], topics.DEAD_LETTERS.name: []}

    class Kept(Broken):
        def read(self, places: list[Place], starts: object = None) -> Iterator[Message]:
            return (each for topic, _ in places for each in found[topic])

    monkeypatch.setattr(trace, "Reader", Kept)
    monkeypatch.setattr(trace, "Rows", NoRows)
    return found


@pytest.mark.usefixtures("kept")
def test_of_an_id_of_which_nothing_is_known_it_is_said_where_a_record_without_one_is_found(carillon: Carillon) -> None:
    line = refused(carillon("trace", "n1"))
    assert "nothing is known of n1: `carillon send` prints ids" in line
    assert line.endswith("a record that could not be used has no id: `carillon dlq ls` lists it by its position")


def test_a_dead_letter_is_traced_though_no_status_of_it_is_there(
    kept: dict[str, list[Message]], carillon: Carillon
) -> None:
    kept[topics.DEAD_LETTERS.name].append(message(topics.DEAD_LETTERS.name, 1, encode(LETTER)))
    done = carillon("trace", "n1")
    assert done.output == f"Dead letter: conflict; look with: carillon dlq show {PLACE}\n"
    assert done.exit_code == 0


def test_a_record_that_is_known_by_its_position_alone_is_traced_by_it_and_no_row_is_promised(
    kept: dict[str, list[Message]], carillon: Carillon
) -> None:
    kept[topics.STATUSES.name].append(message(topics.STATUSES.name, 1, encode(BURIED), PLACE.encode()))
    kept[topics.DEAD_LETTERS.name].append(message(topics.DEAD_LETTERS.name, 1, encode(LETTER), PLACE.encode()))
    done = carillon("trace", PLACE)
    assert "dead" in done.stdout
    assert f"carillon dlq show {PLACE}" in done.stdout
    assert "row" not in done.stdout


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("words", [("ls",), ("show", "notifications.high/0/7")])
def test_dead_letters_are_told_though_one_of_them_cannot_be_read(words: tuple[str, ...], carillon: Carillon) -> None:
    done = carillon("dlq", *words)
    assert done.exit_code == 0
    assert "conflict" in done.stdout
    assert "notification_dlq/0/1 cannot be read" in done.stderr


def test_a_dead_letter_whose_body_cannot_be_read_says_so(monkeypatch: pytest.MonkeyPatch, carillon: Carillon) -> None:
    letter = DeadLetter(cause="x", position="p/0/1", at_ms=1, notification_id="n1", channel="sms", body=b"no delivery")
    monkeypatch.setattr(dlq, "_letters", lambda settings: [letter])
    done = carillon("dlq", "show", "n1", "--open", env=KEYS)
    assert (done.exit_code, "(its body cannot be read)" in done.stdout) == (0, True)


def test_a_dead_letter_says_why_and_whose_it_is_without_an_order_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, carillon: Carillon
) -> None:
    why = "`$.class`: expected one of otp, transactional"
    letter = DeadLetter(
        cause="invalid",
        detail=why,
        position="p/0/1",
        at_ms=1,
        tenant="acme",
        user_id="ada\x1b[2J\n",
        idempotency_key="login-42",
        notification_id="n1",
    )
    monkeypatch.setattr(dlq, "_letters", lambda settings: [letter])
    said = dict(line.split(maxsplit=1) for line in carillon("dlq", "show", "p/0/1", env=KEYS).stdout.splitlines())
    assert said == {
        "cause": "invalid",
        "detail": why,
        "position": "p/0/1",
        "time": "1970-01-01 00:00:00.001",
        "tenant": "acme",
        "user": r"ada\x1b[2J\n",
        "key": "login-42",
        "notification": "n1",
        "body": "not kept: go by the position",
    }


def test_what_was_in_a_dead_letter_gives_no_order_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, carillon: Carillon
) -> None:
    ring = KeyRing.from_text(KEYS["CARILLON_KEYS"], KEYS["CARILLON_INDEX_KEY"])
    letter = DeadLetter(cause="x", position="p/0/1", at_ms=1, body=ring.seal("é\x1b[2J\n{".encode(), b"p/0/1"))
    monkeypatch.setattr(dlq, "_letters", lambda settings: [letter])
    assert carillon("dlq", "show", "p/0/1", "--open", env=KEYS).stdout.endswith("\né\\x1b[2J\n{\n")


@pytest.mark.parametrize("at_ms", [10**18, -(10**18), 10**30])
def test_a_time_beyond_every_calendar_is_shown_as_it_is(at_ms: int) -> None:
    assert time_of(at_ms) == f"{at_ms} ms"
    assert time_of(0) == "1970-01-01 00:00:00.000"
