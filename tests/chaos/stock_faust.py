"""The whole pipeline on stock Faust 0.15.3 as its manual teaches it: `stock_faust.py worker`. The audit's red baseline.

It does: what producers write on our own topics, two tables in RocksDB (rocksdict) with changelogs, one event at a time,
`topic.send`, sixteen deliveries at a time (an agent's `concurrency`), three retries, statuses in our form.
It does not: bury what it cannot read, look at deadlines, check an opt-out again before the call,
keep rows.
"""

import asyncio
import hmac
import json
import os
import sys
import time
import uuid
from base64 import b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import aiohttp
import faust

STATE = Path(os.environ["CARILLON_STATE"])
STATE.mkdir(parents=True, exist_ok=True)
app = faust.App(
    "carillon-stock",
    broker=f"kafka://{os.environ['CARILLON_KAFKA']}",
    datadir=STATE,
    store="rocksdb://",
    topic_partitions=8,
    topic_replication_factor=1,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    broker_rebalance_timeout=10.0,
)
NAMESPACE = uuid.UUID("6f1d3c2e-8a5b-5d0e-9c47-b1f2a3d4e5f6")
INDEX_KEY = b64decode(os.environ["CARILLON_INDEX_KEY"])
CHANNELS = ("push", "sms", "email")
BACKOFF_S = (1, 2, 4)
CALLS_AT_A_TIME = 16

notifications = app.topic("notifications.high", "notifications.low", key_type=str, value_serializer="json")
preferences = app.topic("preferences", key_type=str, value_serializer="json")
statuses = app.topic("statuses", key_type=str, value_serializer="json")
deliveries = {
    channel: app.topic(f"stock.{channel}", key_type=str, value_serializer="json", partitions=8) for channel in CHANNELS
}
rocks = {"driver": "rocksdict"}
seen = app.Table("seen", partitions=8, options=rocks)
users = app.Table("users", partitions=8, options=rocks)


@app.on_rebalance_complete.connect
async def on_rebalance_complete(sender: Any, **_: Any) -> None:
    """Say what the runs of this folder wait for."""
    os.write(1, b'{"event": "flow_ready"}\n')


@app.agent(preferences)
async def remember(stream: Any) -> None:
    """Keep each user's preference."""
    async for preference in stream:
        users[preference["user_id"]] = preference


@app.agent(notifications)
async def route(stream: Any) -> None:
    """Drop repeats, look the user up, send a delivery for each address."""
    async for event in stream.events():
        asked, message = event.value, event.message
        lane = message.topic.rpartition(".")[2]
        name = "\x1f".join((asked["tenant"], lane, asked["user_id"], asked["idempotency_key"]))
        status = {
            "notification_id": str(uuid.uuid5(NAMESPACE, name)),
            "tenant": asked["tenant"],
            "user_id": asked["user_id"],
            "position": f"{message.topic}/{message.partition}/{message.offset}",
            "accepted_ms": int(message.timestamp * 1000),
        }
        if name in seen:
            await tell(status, "duplicate", reason="same_request")
            continue
        seen[name] = True
        chosen = choose(asked, await known(asked["user_id"]))
        for channel, address in chosen:
            work = {"status": status, "channel": channel, "address": address, "params": asked["params"]}
            await deliveries[channel].send(key=status["notification_id"], value=work)
        if chosen:
            await tell(status, "routed", deliveries=len(chosen))
        else:
            await tell(status, "suppressed", reason="no_address")


async def known(user_id: str) -> dict[str, Any] | None:
    """The user's preference; one that is not there yet is waited for."""
    for wait_s in BACKOFF_S:
        if (user := users.get(user_id)) is not None:
            return dict(user)
        await asyncio.sleep(wait_s)
    return users.get(user_id)


def choose(asked: dict[str, Any], user: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The addresses a notification goes to."""
    if user is None:
        return []
    refused = [
        choice for choice in user["opt_outs"] if choice["out"] and choice["category"] in (asked["category"], "*")
    ]
    found: dict[str, list[str]] = {}
    for address in user["addresses"]:
        channel = address["channel"]
        if address.get("verified", True) and not any(choice["channel"] in (channel, "*") for choice in refused):
            found.setdefault(channel, []).append(address["address"])
    wish = asked["channels"]
    order = [*user.get("preferred", []), *CHANNELS]
    channels = sorted(found, key=order.index)[:1] if wish == "best" else [name for name in found if name in wish]
    return [(name, address) for name in channels for address in found[name]]


async def tell(status: dict[str, Any], step: str, **more: Any) -> None:
    """Write a status."""
    told = status | {"step": step, "at_ms": int(time.time() * 1000)} | more
    await statuses.send(key=status["notification_id"], value=told)


def deliver_by(channel: str) -> None:
    """The agent of a channel."""

    @app.agent(deliveries[channel], name=f"deliver_{channel}", concurrency=CALLS_AT_A_TIME)
    async def deliver(stream: Any) -> None:
        async for work in stream:
            told = work["status"] | {"channel": channel, "address_hash": hashed(work)}
            for attempt, wait_s in enumerate((*BACKOFF_S, 0), 1):
                if await call(channel, work, f"{told['notification_id']}.{channel}.1.{attempt}"):
                    await tell(told, "sent", attempt=attempt)
                    break
                await asyncio.sleep(wait_s)
            else:
                await tell(told, "dead", attempt=attempt, reason="retries_spent")


for found in CHANNELS:
    deliver_by(found)


def hashed(work: dict[str, Any]) -> str:
    """The name of an address in statuses."""
    text = f"{work['status']['tenant']}\x1f{work['address']}"
    return hmac.digest(INDEX_KEY, text.encode(), "sha256")[:16].hex()


async def call(channel: str, work: dict[str, Any], ref: str) -> bool:
    """Call the provider of a channel; whether it took the message."""
    request = {"sms": by_sms, "email": by_email, "push": by_push}[channel]
    try:
        async with await request(session(), work["address"], work["params"]["code"], ref) as answer:
            return answer.status < 300
    except (aiohttp.ClientError, TimeoutError):
        return False


async def by_sms(http: aiohttp.ClientSession, to: str, code: str, ref: str) -> Any:
    """Twilio."""
    account = os.environ["CARILLON_TWILIO_ACCOUNT"]
    form = {"To": to, "From": "+15005550006", "Body": f"Code {code}", "StatusCallback": f"https://a.example/?ref={ref}"}
    url = f"{os.environ['CARILLON_TWILIO_URL']}/2010-04-01/Accounts/{account}/Messages.json"
    return http.post(url, data=form, auth=aiohttp.BasicAuth(account, "local"))


async def by_email(http: aiohttp.ClientSession, to: str, code: str, ref: str) -> Any:
    """SendGrid."""
    mail = {
        "personalizations": [{"to": [{"email": to}], "custom_args": {"ref": ref}}],
        "from": {"email": "carillon@example.com"},
        "subject": "A code",
        "content": [{"type": "text/plain", "value": f"Code {code}"}],
    }
    url = f"{os.environ['CARILLON_SENDGRID_URL']}/v3/mail/send"
    return http.post(url, json=mail, headers={"Authorization": "Bearer SG.local"})


async def by_push(http: aiohttp.ClientSession, to: str, code: str, ref: str) -> Any:
    """FCM."""
    words = {"title": "A code", "body": code}
    message = {"message": {"token": to, "notification": words, "data": {"ref": ref}}}
    url = f"{os.environ['CARILLON_FCM_URL']}/v1/projects/local/messages:send"
    return http.post(url, json=message, headers={"Authorization": f"Bearer {await bearer(http)}"})


kept: dict[str, Any] = {}
"""The process's session, and FCM's token, which outlives any run."""


def session() -> aiohttp.ClientSession:
    """The one session, made inside the loop."""
    if "session" not in kept:
        kept["session"] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
    return kept["session"]


async def bearer(http: aiohttp.ClientSession) -> str:
    """FCM's token; the sandbox does not look at the signature."""
    if "token" not in kept:
        now = int(time.time())
        claims = {"iss": "carillon", "aud": "sandbox", "iat": now, "exp": now + 3600}
        claims["scope"] = "https://www.googleapis.com/auth/firebase.messaging"
        parts = (urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "RS256"}, claims))
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": ".".join((*parts, "c2ln"))}
        async with http.post(os.environ["CARILLON_FCM_TOKEN_URL"], data=form) as answer:
            kept["token"] = (await answer.json())["access_token"]
    return str(kept["token"])


if __name__ == "__main__":
    sys.argv.append("--without-web")
    app.main()
