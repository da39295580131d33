"""A peer: routing on stock Faust 0.15.3 as its manual teaches it.

It does: Records in JSON, two tables in RocksDB (rocksdict) with changelogs, one event at a time, `topic.send`; a static
member, which is all that its manual does not say.
It does not: write decision records, seal anything, keep the offset with the key, or check lane, size, deadline and
window. Its events must already lie in their user's partition. It loses some on a clean start now and then: they are
counted and told.
"""

import sys

import faust
from routing import called, say

call = called()
app = faust.App(
    f"{call.prefix}route",
    broker=f"kafka://{call.brokers}",
    datadir=call.state,
    store="rocksdb://",
    topic_partitions=8,
    topic_replication_factor=1,
    web_enabled=False,
    consumer_group_instance_id=call.worker,
)


class Notification(faust.Record, serializer="json"):
    tenant: str
    idempotency_key: str
    user_id: str
    channels: str
    category: str
    template_id: str
    params: dict[str, str]


class Preference(faust.Record, serializer="json"):
    user_id: str
    addresses: list[dict[str, str]]
    opt_outs: list[dict[str, str]] = []


class Delivery(faust.Record, serializer="json"):
    idempotency_key: str
    user_id: str
    channel: str
    address: str
    category: str
    template_id: str
    params: dict[str, str]
    accepted_ms: int


notifications = app.topic(call.notifications, key_type=str, value_type=Notification)
preferences = app.topic(call.preferences, key_type=str, value_type=Preference)
outputs = {
    channel: app.topic(f"{call.prefix}{channel}_notifications.high", key_type=str, value_type=Delivery)
    for channel in ("push", "sms", "email")
}
seen = app.Table(
    "dedup",
    partitions=8,
    options={"driver": "rocksdict"},
    changelog_topic=app.topic(f"{call.prefix}dedup-changelog", key_type=str),
)
users = app.Table(
    "users",
    partitions=8,
    options={"driver": "rocksdict"},
    changelog_topic=app.topic(f"{call.prefix}users-changelog", key_type=str),
)


@app.agent(preferences)
async def remember(stream: faust.StreamT[Preference]) -> None:
    """Keep each user's preference."""
    async for preference in stream:
        users[preference.user_id] = preference.asdict()


@app.agent(notifications)
async def route(stream: faust.StreamT[Notification]) -> None:
    """Drop repeats, look the user up, send to the channel."""
    async for event in stream.events():
        asked = event.value
        if asked.idempotency_key in seen:
            continue
        seen[asked.idempotency_key] = True
        user = users.get(asked.user_id)
        if user is None:
            continue
        refused = {(choice["channel"], choice["category"]) for choice in user["opt_outs"]}
        for address in user["addresses"]:
            channel = address["channel"]
            if asked.channels not in ("best", channel) or (channel, asked.category) in refused:
                continue
            delivery = Delivery(
                asked.idempotency_key,
                asked.user_id,
                channel,
                address["sealed"],
                asked.category,
                asked.template_id,
                asked.params,
                round(event.message.timestamp * 1000),
            )
            await outputs[channel].send(key=asked.idempotency_key, value=delivery)
            break


@app.task
async def ready() -> None:
    """Say that it runs."""
    say("ready")


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--without-web"]
    app.main()
