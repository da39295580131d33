"""A peer: routing on Faust 0.15.3 with all that makes it faster and leaves its agents, tables and acks alone.

It does: bytes on every topic, msgspec in the agent (routing.py), tables in RocksDB without serializers, `topic.send`;
uvloop, the compiled stream, no monitor, loggers at INFO (quieter ones cost more), a stream buffer of 65,536, a fetch
loop that does not race every record against a pause, linger 5 ms, 128 KiB, lz4; commit every second; a static member.
It does not: close the ways in which stock Faust loses events; check lane, size, deadline and window.
"""

import logging
import sys
from collections.abc import Coroutine
from typing import Any

import faust
import uvloop
from faust.sensors.monitor import Monitor
from faust.transport.drivers import aiokafka
from routing import LINGER_MS, OUTPUTS, STATUSES, Place, Router, called, decode, id_of, say

call = called()
router = Router(call.variant)


class Consumer(aiokafka.Consumer):
    """Hands each record over as it is."""

    async def wait_first(self, *coros: Coroutine[Any, Any, Any], **_: Any) -> None:
        """The fetch loop's one use of it: a record's callback, raced against the flow being suspended."""
        callback, suspended = coros
        suspended.close()
        await callback


class Transport(aiokafka.Transport):
    Consumer = Consumer


class App(faust.App):
    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)


class Silent(Monitor):
    """Counts nothing per event."""

    def on_message_in(self, *_: Any) -> None: ...

    def on_stream_event_in(self, *_: Any) -> None: ...

    def on_stream_event_out(self, *_: Any) -> None: ...

    def on_message_out(self, *_: Any) -> None: ...

    def on_topic_buffer_full(self, *_: Any) -> None: ...

    def on_table_get(self, *_: Any) -> None: ...

    def on_table_set(self, *_: Any) -> None: ...

    def on_send_initiated(self, *_: Any) -> None: ...

    def on_send_completed(self, *_: Any) -> None: ...


app = App(
    f"{call.prefix}route",
    broker=f"kafka://{call.brokers}",
    datadir=call.state,
    store="rocksdb://",
    topic_partitions=8,
    topic_replication_factor=1,
    web_enabled=False,
    consumer_group_instance_id=call.worker,
    broker_commit_interval=1.0,
    cython_optimizations=True,
    stream_buffer_maxsize=65_536,
    producer_linger=LINGER_MS / 1000,
    producer_max_batch_size=128 * 1024,
    producer_compression_type="lz4",
    Monitor=Silent,
)
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
notifications = app.topic(call.notifications, **RAW)
preferences = app.topic(call.preferences, **RAW)
outputs = {name: app.topic(f"{call.prefix}{name}", **RAW) for name in (*OUTPUTS, STATUSES)}
seen, users = (
    app.Table(
        name,
        partitions=8,
        options={"driver": "rocksdict"},
        key_type=bytes,
        value_type=bytes,
        changelog_topic=app.topic(f"{call.prefix}{name}-changelog", **RAW),
    )
    for name in ("dedup", "users")
)


@app.agent(preferences)
async def remember(stream: faust.StreamT[bytes]) -> None:
    """Keep each user's preference."""
    async for event in stream.events():
        users[event.key] = router.remember(event.value)


@app.agent(notifications)
async def route(stream: faust.StreamT[bytes]) -> None:
    """Drop repeats, look the user up, send to the channel."""
    async for event in stream.events():
        message = event.message
        asked = decode(event.value)
        id_ = id_of(asked)
        place = Place(message.topic, message.partition, message.offset, round(message.timestamp * 1000))
        found: list[tuple[str, bytes, bytes]] = []
        entry = router.route(place, asked, id_, seen.get(id_), users.get(event.key), lambda *out: found.append(out))  # noqa: B023 - called at once
        for name, key, value in found:
            await outputs[name].send(key=key, value=value)
        if entry is not None:
            seen[id_] = entry


@app.task
async def ready() -> None:
    """Say that it runs."""
    say("ready")


if __name__ == "__main__":
    uvloop.install()
    for name in ("faust", "aiokafka", "mode"):
        logging.getLogger(name).setLevel(logging.INFO)
    sys.argv[1:] = ["worker", "--without-web", "--loglevel", "info"]
    app.main()
