"""A peer: routing on stock Faust 0.15.3 as its manual teaches it. `python stock_faust.py worker`.

It does: Records in JSON, two tables in RocksDB (rocksdict) with changelogs, one event at a time, `topic.send`.
It does not: write decision records, seal anything, keep the offset with the key, or check lane, size, deadline and
window. Its events must already lie in their user's partition. It loses some on a clean start now and then: they are
counted and told.
"""

import os

import faust

app = faust.App(
    "stock-route",
    broker=f"kafka://{os.environ['CARILLON_KAFKA']}",
    datadir=os.environ["CARILLON_STATE"],
    store="rocksdb://",
    topic_partitions=8,
    topic_replication_factor=1,
    web_enabled=False,
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


notifications = app.topic("stock.notifications", key_type=str, value_type=Notification)
preferences = app.topic("stock.preferences", key_type=str, value_type=Preference)
outputs = {
    channel: app.topic(f"stock.{channel}_notifications", key_type=str, value_type=Delivery)
    for channel in ("push", "sms", "email")
}
seen = app.Table(
    "dedup",
    partitions=8,
    options={"driver": "rocksdict"},
    changelog_topic=app.topic("stock.dedup-changelog", key_type=str),
)
users = app.Table(
    "users",
    partitions=8,
    options={"driver": "rocksdict"},
    changelog_topic=app.topic("stock.users-changelog", key_type=str),
)


@app.agent(preferences)
async def remember(stream: faust.StreamT[Preference]) -> None:
    """Keep each user's preference."""
    async for preference in stream:
        users[preference.user_id] = preference.asdict()


@app.agent(notifications)
async def route(stream: faust.StreamT[Notification]) -> None:
    """Drop repeats, look the user up, send to the channel."""
    async for asked in stream:
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
            )
            await outputs[channel].send(key=asked.idempotency_key, value=delivery)
            break


if __name__ == "__main__":
    app.main()
