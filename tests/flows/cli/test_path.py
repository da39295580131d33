"""From `carillon prefer` and `send` through a running worker to `carillon trace` and `dlq`."""

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from click.testing import Result
from confluent_kafka import Message, Producer

from flows.reading import Reader, position
from flows.upstream import Upstream
from schemas import topics
from schemas.keys import partition_of, user_key
from schemas.topics import Topic
from schemas.vocabulary import Lane
from tests.watching import eventually

Carillon = Callable[..., Result]
Until = Callable[..., str]
NUMBER, CODE = "+4917600004711", "918273"

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def user(carillon: Carillon, prepared: dict[str, str]) -> str:
    """A user who can be reached by SMS and wants no news."""
    name = f"user-{uuid.uuid4().hex}"
    done = carillon("prefer", "--user", name, "--address", f"sms={NUMBER}", "--opt-out", "sms/news", env=prepared)
    assert done.output.startswith("preferences/")
    return name


def send(carillon: Carillon, prepared: dict[str, str], user: str, *more: str) -> list[tuple[str, str]]:
    """Ids and positions of what was written."""
    base = ("send", "--user", user, "--template", "otp", "--class", "otp", "--channel", "sms")
    done = carillon(*base, "--param", f"code={CODE}", *more, env=prepared)
    assert done.exit_code == 0, done.output
    return [(id_, position) for id_, position in (line.split() for line in done.output.splitlines())]


def test_a_notification_is_traced_from_its_decision_to_the_row_in_the_store(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    [(id_, position)] = send(carillon, prepared, user)
    assert position.startswith("notifications.high/")
    said = until("Row: status SENT", "trace", id_, env=prepared)
    steps = [line.split()[4] for line in said.splitlines()[1:3]]
    assert steps == ["routed", "sent"]
    assert "twilio" in said


def test_a_trace_shows_neither_address_nor_code_nor_user(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    [(id_, _)] = send(carillon, prepared, user)
    said = until("Row: status SENT", "trace", id_, env=prepared)
    assert not any(secret in said for secret in (NUMBER, CODE, user))


def test_the_same_key_is_sent_once_and_told_as_a_duplicate(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    first = send(carillon, prepared, user, "--key", "order-1")
    again = send(carillon, prepared, user, "--key", "order-1")
    assert first[0][0] == again[0][0]
    said = until("same_request", "trace", first[0][0], env=prepared)
    said = until("Row: status SENT", "trace", first[0][0], env=prepared)
    assert said.count(" sent ") == 1


def test_count_asks_for_so_many_under_keys_of_their_own(
    carillon: Carillon, prepared: dict[str, str], user: str
) -> None:
    assert len({id_ for id_, _ in send(carillon, prepared, user, "--count", "5")}) == 5


def test_a_plain_preference_that_another_client_misplaced_is_found_and_lies_sealed_in_its_partition(
    carillon: Carillon, until: Until, prepared: dict[str, str]
) -> None:
    upstream, name, count = Upstream(prepared["CARILLON_KAFKA"]), f"user-{uuid.uuid4().hex}", 8
    home, places = partition_of(name.encode(), count), []
    told = {"tenant": "acme", "user_id": name, "version": 1, "addresses": [{"channel": "sms", "address": NUMBER}]}
    astray = (home + 1) % count
    upstream.write(
        topics.PREFERENCES.name, name, json.dumps(told).encode(), lambda m: places.append(m.partition()), astray
    )
    upstream.flush()
    assert places == [astray]
    [(id_, _)] = send(carillon, prepared, name)
    until("Row: status SENT", "trace", id_, env=prepared)
    found = preferences(prepared, name)
    plain, deleted = [message for message in found if message.key() == name.encode()]
    (copy,) = [message for message in found if message.key() == user_key("acme", name)]
    assert (plain.partition(), deleted.partition(), deleted.value()) == (astray, astray, None)
    assert copy.partition() == home
    assert NUMBER.encode() not in copy.value()


def test_a_preference_beyond_its_limits_is_one_dead_letter_and_the_worker_takes_the_next(
    carillon: Carillon, until: Until, prepared: dict[str, str]
) -> None:
    upstream, name, places = Upstream(prepared["CARILLON_KAFKA"]), f"user-{uuid.uuid4().hex}", []
    sealed = {"channel": "sms", "sealed": "A" * 800_000, "hash": "0a" * 16}
    for hostile in ({"opt_outs": [{"category": "x" * 640_000}]}, {"addresses": [sealed]}):
        told = {"tenant": "acme", "user_id": name, "version": 1, **hostile}
        upstream.write(topics.PREFERENCES.name, name, json.dumps(told).encode(), lambda m: places.append(position(m)))
    upstream.flush()
    assert carillon("prefer", "--user", name, "--address", f"sms={NUMBER}", env=prepared).exit_code == 0
    [(id_, _)] = send(carillon, prepared, name)
    until("Row: status SENT", "trace", id_, env=prepared)
    reader = Reader(prepared["CARILLON_KAFKA"])
    dead = reader.read(reader.partitions(topics.DEAD_LETTERS.name))
    letters = [letter for letter in dead if (letter.key() or b"").decode() in places]
    reader.close()
    assert sorted(letter.key().decode() for letter in letters) == sorted(places)
    details = sorted(json.loads(letter.value())["detail"].split("`")[1] for letter in letters)
    assert details == ["$.addresses[0].sealed", "$.opt_outs[0].category"]


def test_what_carillon_prefer_writes_needs_no_second_writing(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    [(id_, _)] = send(carillon, prepared, user)
    until("Row: status SENT", "trace", id_, env=prepared)
    (written,) = preferences(prepared, user)
    assert (written.key(), written.partition()) == (user_key("acme", user), partition_of(user.encode(), 8))
    assert NUMBER.encode() not in written.value()


def preferences(prepared: dict[str, str], user: str) -> list[Message]:
    """Every record of a user on the topic."""
    reader = Reader(prepared["CARILLON_KAFKA"])
    found = [m for m in reader.read(reader.partitions(topics.PREFERENCES.name)) if user.encode() in (m.key() or b"")]
    reader.close()
    return found


def test_an_opt_out_is_told_as_the_reason(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    [(id_, _)] = send(carillon, prepared, user, "--category", "news")
    until("suppressed                              opted_out", "trace", id_, env=prepared)


def test_an_unknown_id_is_an_error_that_says_where_ids_come_from(carillon: Carillon, prepared: dict[str, str]) -> None:
    done = carillon("trace", "nobody-knows", env=prepared)
    assert done.exit_code == 2
    assert "`carillon send` prints ids" in done.stderr


def test_a_delivery_that_died_is_listed_and_opened_only_on_request(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    base = ("send", "--user", user, "--template", "no-such", "--class", "otp", "--channel", "sms")
    id_ = carillon(*base, "--param", f"code={CODE}", env=prepared).output.split()[0]
    listed = until(id_, "dlq", "ls", "--cause", "no_template", env=prepared)
    assert "sms_notifications.high/" in listed
    shown = carillon("dlq", "show", id_, env=prepared).output
    assert "no_template" in shown
    opened = carillon("dlq", "show", id_, "--open", env=prepared).output
    for secret in (NUMBER, CODE):
        assert secret not in listed + shown
        assert secret in opened
    assert user not in listed
    assert f"carillon dlq show {position_of(shown)}" in carillon("trace", id_, env=prepared).output


def position_of(shown: str) -> str:
    return next(line.split()[1] for line in shown.splitlines() if line.startswith("position"))


def test_a_broken_record_is_found_by_its_position_and_opened_as_it_was(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str
) -> None:
    upstream, places = Upstream(prepared["CARILLON_KAFKA"]), []
    broken = f'{{"user_id": "{user}", "params": {{"code": "{CODE}"'.encode()
    upstream.write(
        topics.notifications(Lane.HIGH).name, user, broken, lambda m: places.append(f"{m.partition()}/{m.offset()}")
    )
    upstream.flush()
    position = f"notifications.high/{places[0]}"
    listed = until(position, "dlq", "ls", "--limit", "500", env=prepared)
    shown = carillon("dlq", "show", position, env=prepared).output
    assert "unreadable" in shown
    assert "Input data was truncated" in shown
    assert user in shown
    assert CODE not in listed + shown
    assert broken.decode() in carillon("dlq", "show", position, "--open", env=prepared).output


HEADERS: list[list[tuple[str, bytes | None]]] = [
    [("origin", None)],
    [("origin", b"\xff\xfe")],
    [("origin", b"checkout-service")],
    [("origin", b"notifications.high/65536/0"), ("to", None), ("due", b"9" * 100)],
]


def test_whatever_headers_a_record_has_it_gets_one_decision_and_the_worker_lives(
    carillon: Carillon, until: Until, prepared: dict[str, str], user: str, worker: subprocess.Popen[bytes]
) -> None:
    producer, places, count = Producer({"bootstrap.servers": prepared["CARILLON_KAFKA"]}), [], 8
    home = partition_of(user.encode(), count)
    sound = {"tenant": "acme", "user_id": user, "class": "otp", "category": "login", "template_id": "otp"}

    def write(topic: Topic, partition: int, value: object, headers: list[tuple[str, bytes | None]]) -> None:
        producer.produce(
            topic.name,
            json.dumps(value).encode(),
            user.encode(),
            partition,
            headers=headers,
            on_delivery=lambda _, message: places.append(position(message)),
        )

    for number, headers in enumerate(HEADERS):
        asked = {**sound, "channels": "best", "params": {"code": CODE}, "idempotency_key": f"headers-{number}"}
        write(topics.notifications(Lane.HIGH), home, asked, headers)
        write(topics.notifications(Lane.HIGH), home, {**asked, "class": "OTP"}, headers)
        write(topics.notifications(Lane.HIGH), (home + 1) % count, {**asked, "idempotency_key": f"m-{number}"}, headers)
        write(topics.misplaced(Lane.HIGH), home, asked, headers)
        write(topics.retries(Lane.HIGH, "1s"), home, asked, headers)
    producer.flush()
    send(carillon, prepared, user, "--key", "after")
    inputs = {place for place in places if not place.startswith("retries.")}
    (last,) = [place for place in places if place.startswith("retries.")][-1:]
    until(last, "dlq", "ls", "--limit", "1000", env=prepared)
    decided = eventually_decided(prepared, inputs)
    assert {place: steps for place, steps in decided.items() if len(steps) != 1} == {}
    assert Counter(step == "dead" for [step] in decided.values()) == {True: 8, False: 8}
    assert worker.poll() is None


def eventually_decided(prepared: dict[str, str], places: set[str]) -> dict[str, list[str]]:
    """The decisions about the records at these places, once each has one."""
    reader, found = Reader(prepared["CARILLON_KAFKA"]), {}

    def told() -> bool:
        found.clear()
        for message in reader.read(reader.partitions(topics.STATUSES.name)):
            status = json.loads(message.value())
            if status["position"] in places and "channel" not in status:
                found.setdefault(status["position"], []).append(status["step"])
        return found.keys() == places

    assert eventually(told, 20.0), places - found.keys()
    reader.close()
    return found


def test_a_letter_that_is_not_there_is_an_error_that_names_the_list(
    carillon: Carillon, prepared: dict[str, str]
) -> None:
    done = carillon("dlq", "show", "notifications.high/0/99999999", env=prepared)
    assert done.exit_code == 2
    assert "`carillon dlq ls` lists them" in done.stderr
