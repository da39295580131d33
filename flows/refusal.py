"""What Kafka says, as an error of ours that says what to do next."""

from confluent_kafka import KafkaError

from schemas.errors import Misconfigured, Unreachable

_SILENT = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
_SETUP = "`carillon setup` makes the topics"
_REMEDIES = {
    KafkaError.INVALID_REPLICATION_FACTOR: "CARILLON_REPLICATION says how many brokers keep a topic",
    KafkaError.INVALID_PARTITIONS: "CARILLON_PARTITIONS says how many a topic has",
    KafkaError.UNKNOWN_TOPIC_OR_PART: _SETUP,
    KafkaError._UNKNOWN_TOPIC: _SETUP,
    KafkaError._UNKNOWN_PARTITION: _SETUP,
    KafkaError._MSG_TIMED_OUT: _SETUP,
}
"""A topic that is missing looks to a producer like one whose brokers are slow to answer."""


def refusal(brokers: str, error: KafkaError, what: str = "refused") -> Misconfigured:
    """The error to raise for one of Kafka's: Unreachable where nothing answers, else Misconfigured in Kafka's words."""
    remedy = _REMEDIES.get(error.code())
    told = f"Kafka at {brokers} (CARILLON_KAFKA) {what}: {error.str().rstrip('.')}" + (f" ({remedy})" if remedy else "")
    return Unreachable(told) if error.code() in _SILENT else Misconfigured(told)
