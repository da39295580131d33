"""A peer: routing on Quix Streams.

It does: `concat` of events and preferences, aligned in time; one stateful `apply`, the state in RocksDB with a
changelog, its values in msgpack; outputs and state in one checkpoint, every second or 50,000 events. Dedup entries
live 26 h, preferences for ten years: without a time of their own the first would give them its 26 h. Buffer 20,000,
memtables of 64 MiB, idempotent, acks=all, lz4, linger 5 ms; a static member. `lean` and `like`: routing.py.
It does not: serve metrics.
"""

from datetime import timedelta
from typing import Any

import msgspec
from quixstreams import Application, State, message_context
from quixstreams.models import Serializer, Topic
from quixstreams.state.rocksdb import RocksDBOptions
from routing import GATHER, KEEP_S, MEMBER, OUTPUTS, PRODUCER, STATUSES, Place, Router, called, decode, id_of, say

FOR_EVER = timedelta(days=3650)
KEEP = timedelta(seconds=KEEP_S)
USER = "u"
"""The state key of a user's preference; those of dedup entries are ids."""

Output = tuple[str, bytes, bytes]


class Value(Serializer):  # type: ignore[misc]
    """Takes the value out of (topic, key, value)."""

    def __call__(self, value: Output, ctx: Any) -> bytes:
        return value[2]


class Peer:
    """The whole peer."""

    def __init__(self) -> None:
        call = called()
        self.router = Router(call.variant)
        self.app = Application(
            call.brokers,
            consumer_group=f"{call.prefix}route",
            auto_offset_reset="earliest",
            commit_interval=1.0,
            commit_every=50_000,
            consumer_extra_config={"group.instance.id": call.worker} | GATHER | MEMBER,
            producer_extra_config=PRODUCER,
            state_dir=call.state,
            rocksdb_options=RocksDBOptions(
                dumps=msgspec.msgpack.encode, loads=msgspec.msgpack.decode, write_buffer_size=64 * 1024 * 1024
            ),
            consumer_poll_timeout=0.01,
            loglevel="WARNING",
            max_partition_buffer_size=20_000,
        )
        raw = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
        self.preferences = call.preferences
        events, users = self.app.topic(call.notifications, **raw), self.app.topic(call.preferences, **raw)
        self.outputs: dict[str, Topic] = {
            name: self.app.topic(f"{call.prefix}{name}", key_serializer="bytes", value_serializer=Value())
            for name in (*OUTPUTS, STATUSES)
        }
        both = self.app.dataframe(users).concat(self.app.dataframe(events))
        both.apply(self.work, stateful=True, expand=True, metadata=True).to_topic(
            lambda value, key, timestamp, headers: self.outputs[value[0]], key=lambda value: value[1]
        )

    def work(self, value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> list[Output]:
        """One record of either topic."""
        context = message_context()
        if context.topic == self.preferences:
            state.set(USER, self.router.remember(value), ttl=FOR_EVER)
            return []
        asked = decode(value)
        id_ = id_of(asked)
        found: list[Output] = []
        place = Place(context.topic, context.partition, context.offset, timestamp)
        name = id_.decode()
        entry = self.router.route(place, asked, id_, state.get(name), state.get(USER), lambda *out: found.append(out))
        if entry is not None:
            state.set(name, entry, ttl=KEEP)
        return found


if __name__ == "__main__":
    peer = Peer()
    say("ready")
    peer.app.run()
