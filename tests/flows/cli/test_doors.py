"""What a client library raises, as one sentence with the next thing to do: no server is asked."""

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException

from flows.cli.doors import reached
from flows.settings import Settings
from schemas.errors import CarillonError, Misconfigured, Unreachable


def told(error: Exception) -> CarillonError:
    """What becomes of an error within."""
    with pytest.raises(Misconfigured) as caught, reached(Settings()):
        raise error
    return caught.value


def kafka(code: int, words: str) -> KafkaException:
    return KafkaException(KafkaError(code, words))


def test_what_kafka_refuses_is_told_in_its_words_with_the_setting_and_not_as_a_server_that_is_down() -> None:
    words = "Replication factor: 3 larger than available brokers: 1."
    found = told(kafka(KafkaError.INVALID_REPLICATION_FACTOR, words))
    assert not isinstance(found, Unreachable)
    assert str(found) == (
        "Kafka at 127.0.0.1:9092 (CARILLON_KAFKA) refused: Replication factor: 3 larger than available brokers: 1 "
        "(CARILLON_REPLICATION says how many brokers keep a topic)"
    )


def test_what_kafka_refuses_without_a_known_remedy_is_told_all_the_same() -> None:
    found = told(kafka(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Not yours"))
    assert str(found) == "Kafka at 127.0.0.1:9092 (CARILLON_KAFKA) refused: Not yours"


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT])
def test_a_kafka_that_does_not_answer_is_asked_to_be_started(code: int) -> None:
    found = told(kafka(code, "Broker transport failure"))
    assert isinstance(found, Unreachable)
    assert "Kafka at 127.0.0.1:9092 (CARILLON_KAFKA)" in str(found)
    assert "Broker transport failure" in str(found)
    assert "`carillon up` starts a local one" in str(found)


def test_a_kafka_that_does_not_answer_in_time_is_asked_to_be_started() -> None:
    assert isinstance(told(TimeoutError()), Unreachable)


def test_what_a_store_lacks_is_made_by_setup_and_anything_else_is_told_in_its_words() -> None:
    missing = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no table"}}, "GetItem")
    assert "ResourceNotFoundException. `carillon setup` makes what has to be there" in str(told(missing))
    refused = ClientError({"Error": {"Code": "ValidationException", "Message": "too long a key"}}, "GetItem")
    assert str(told(refused)).endswith("refused: ValidationException, too long a key")
