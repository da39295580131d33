"""What a producer upstream does: notifications and preferences, durably, each in its user's partition."""

from collections.abc import Callable, Iterable

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents import admit
from flows.refusal import refusal
from schemas import topics
from schemas.channels import CHANNELS
from schemas.errors import Malformed
from schemas.keys import partition_of, user_key
from schemas.records import Notification, Preference, encode
from schemas.vocabulary import CLASSES, Reason
from tables import preferences

FLUSH_S = 15.0
Written = Callable[[Message], None]


class Upstream:
    """A Kafka producer set as producers of ours should be: acks=all, idempotent, `murmur2_random`."""

    def __init__(self, brokers: str, partitioner: str = "murmur2_random") -> None:
        self._brokers = brokers
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "partitioner": partitioner,
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.timeout.ms": int(FLUSH_S * 1000),
                "log_level": 0,
            }
        )
        self.refused = 0
        """Records that the broker did not take."""
        self._why: KafkaError | None = None

    def write(
        self, topic: str, key: str | bytes | None, value: bytes | None, then: Written | None = None, partition: int = -1
    ) -> None:
        """Write one record, in order; `then` gets it once it is durable, from `turn` or `flush`. The partition follows
        from the key unless it is given. What Kafka does not take is told by `flush`."""

        def told(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._refuse(error)
            elif then is not None:
                then(message)

        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=told)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                self._refuse(error.args[0])
                return

    def _refuse(self, error: KafkaError) -> None:
        self.refused += 1
        self._why = error

    def send(self, asked: Notification, then: Written | None = None) -> None:
        """Write a notification to the lane of its class. Raises Malformed, and writes nothing, where the engine would
        bury it."""
        topic = topics.notifications(CLASSES[asked.message_class].lane)
        self.write(topic.name, asked.user_id, readable(asked), then)

    def prefer(self, preference: Preference, partitions: int, then: Written | None = None) -> None:
        """Write a preference whose addresses are sealed, as the engine would: under the user's key, in the partition of
        the user id. In an environment with other `partitions` the engine moves it. Raises Malformed as `send` does."""
        key, home = user_key(preference.tenant, preference.user_id), preference.user_id.encode()
        place = partition_of(home, partitions)
        self.write(topics.PREFERENCES.name, key, readable(preference), then, place)

    def turn(self) -> None:
        """Hear what has become durable so far."""
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is durable. Raises Misconfigured when something was not taken, Unreachable if nobody
        answered."""
        try:
            left = self._producer.flush(FLUSH_S)
        except KafkaException as error:
            left, self._why = 1, error.args[0]
        if left or self.refused:
            why = self._why or KafkaError(KafkaError._MSG_TIMED_OUT)
            raise refusal(self._brokers, why, f"did not take {left + self.refused} of the records")


def readable(record: Notification | Preference) -> bytes:
    """A record as it goes to Kafka. Raises Malformed where the engine would not read it."""
    value = encode(record)
    try:
        msgspec.json.decode(value, type=type(record))
    except msgspec.ValidationError as error:  # says which field, unlike the engine's readers
        raise Malformed(Reason.INVALID, str(error)) from None
    if isinstance(record, Notification):
        admit.read(value)
    else:
        preferences.read(value)
    return value


def unfit(addresses: Iterable[tuple[str, str]]) -> str | None:
    """The channel of the first (channel, address) that does not have the form of one, or None."""
    for channel, address in addresses:
        if channel not in CHANNELS or not CHANNELS[channel].accepts(address):
            return channel
    return None
