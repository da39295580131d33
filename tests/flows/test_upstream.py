"""What an upstream producer refuses to write, and what it says of what Kafka did not take: no broker is asked."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from flows.upstream import Upstream
from schemas import topics
from schemas.errors import Malformed, Misconfigured, Unreachable
from schemas.records import MAX_INPUT_BYTES, MAX_VALUE_BYTES, Notification, OptOut, Preference
from schemas.sealing import KeyRing
from schemas.vocabulary import MessageClass, Reason
from tables.preferences import sealed_address

NOBODY = "127.0.0.1:9"
RING = KeyRing({1: bytes(32)}, bytes(32))


class Fake:
    """A client that keeps what it is given, or raises."""

    def __init__(self, error: KafkaException | None = None) -> None:
        self.written: list[tuple[str, bytes]] = []
        self._error = error

    def produce(self, topic: str, value: bytes, *_: object, **__: object) -> None:
        if self._error is not None:
            raise self._error
        self.written.append((topic, value))

    def flush(self, seconds: float) -> int:
        return 0


@pytest.fixture
def upstream() -> Upstream:
    """A producer that writes nowhere."""
    made = Upstream(NOBODY)
    made._producer = Fake()  # type: ignore[assignment]
    return made


def written(upstream: Upstream) -> list[tuple[str, bytes]]:
    return upstream._producer.written  # type: ignore[attr-defined, no-any-return]


def notification(**changed: object) -> Notification:
    fields = {"tenant": "acme", "idempotency_key": "k", "user_id": "ada", "category": "login", "template_id": "otp"}
    return Notification(**{"channels": "best", "message_class": MessageClass.OTP, **fields, **changed})  # type: ignore[arg-type]


def preference(**changed: object) -> Preference:
    return Preference(**{"tenant": "acme", "user_id": "ada", "version": 1, **changed})  # type: ignore[arg-type]


def test_a_sound_notification_goes_to_its_lane(upstream: Upstream) -> None:
    upstream.send(notification())
    upstream.send(notification(message_class=MessageClass.MARKETING))
    assert [topic for topic, _ in written(upstream)] == ["notifications.high", "notifications.low"]


NAMES = ("tenant", "user_id", "idempotency_key", "category", "template_id")
UNFIT = ("", "x" * 257)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NAMES for value in UNFIT])
def test_a_name_of_no_fit_length_is_refused_by_its_field_before_it_is_written(
    upstream: Upstream, name: str, value: str
) -> None:
    with pytest.raises(Malformed, match=rf"`str` of length .* `\$\.{name}`") as caught:
        upstream.send(notification(**{name: value}))
    assert caught.value.reason is Reason.INVALID
    assert written(upstream) == []


@pytest.mark.parametrize("name", ["tenant", "user_id", "idempotency_key"])
def test_a_name_with_the_separator_of_keys_is_refused(upstream: Upstream, name: str) -> None:
    with pytest.raises(Malformed, match=r"U\+001F"):
        upstream.send(notification(**{name: "a\x1fb"}))
    assert written(upstream) == []


def test_a_notification_larger_than_the_engine_takes_is_refused_with_the_limit(upstream: Upstream) -> None:
    with pytest.raises(Malformed, match=f"at most {MAX_INPUT_BYTES}") as caught:
        upstream.send(notification(params={"text": "x" * MAX_INPUT_BYTES}))
    assert caught.value.reason is Reason.TOO_LARGE
    assert written(upstream) == []


def test_a_sound_preference_is_written(upstream: Upstream) -> None:
    upstream.prefer(preference(addresses=[sealed_address(RING, "acme", "ada", "sms", "+4917600000001")]), 8)
    assert [topic for topic, _ in written(upstream)] == [topics.PREFERENCES.name]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"user_id": ""}, r"`\$\.user_id`"),
        ({"tenant": "x" * 257}, r"`\$\.tenant`"),
        ({"user_id": "a\x1fb"}, r"U\+001F"),
        ({"opt_outs": [OptOut(category="x" * MAX_VALUE_BYTES)]}, r"of length <= 256"),
        ({"opt_outs": [OptOut(channel="SMS")]}, r"expected one of push, sms, email or \*"),
    ],
)
def test_a_preference_that_the_engine_would_not_read_is_refused_before_it_is_written(
    upstream: Upstream, changed: dict[str, object], says: str
) -> None:
    with pytest.raises(Malformed, match=says):
        upstream.prefer(preference(**changed), 8)
    assert written(upstream) == []


def test_what_the_client_itself_refuses_is_counted_and_told_in_its_words() -> None:
    upstream = Upstream(NOBODY)
    upstream.write("notifications.high", "ada", b"x" * 2_000_000)
    assert upstream.refused == 1
    with pytest.raises(Misconfigured, match=r"\(CARILLON_KAFKA\) did not take 1 of the records: .*too large") as caught:
        upstream.flush()
    assert not isinstance(caught.value, Unreachable)


def test_a_topic_that_is_missing_is_told_with_the_command_that_makes_it(upstream: Upstream) -> None:
    upstream._producer = Fake(KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC)))  # type: ignore[assignment]
    upstream.send(notification())
    with pytest.raises(Misconfigured, match="`carillon setup` makes the topics"):
        upstream.flush()
