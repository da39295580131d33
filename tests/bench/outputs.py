"""What a peer wrote: read from its topics, held against what an independent pass over the input says."""

import base64
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition
from measure import BenchError
from peer import Peer
from rig import PARTITIONS, Rig
from workload import PROBE, TENANT, Contents

from schemas.channels import CHANNELS
from schemas.keys import notification_id
from schemas.records import canonical
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane
from tables.preferences import context


class Routed(msgspec.Struct, gc=False):
    """What every peer's deliveries have in common. `accepted_ms` is when the record they were decided for was
    appended."""

    user_id: str
    idempotency_key: str
    channel: str
    address: bytes
    params: msgspec.Raw
    accepted_ms: int


class _Place(msgspec.Struct, gc=False):
    position: str


_decode = msgspec.json.Decoder(Routed).decode
_position = msgspec.json.Decoder(_Place).decode


def topics(peer: Peer) -> list[str]:
    """Where a peer's deliveries are."""
    return [f"{peer.prefix}{channel}_notifications.high" for channel in CHANNELS]


def deliveries(rig: Rig, peer: Peer) -> Iterator[tuple[Routed, float]]:
    """Every delivery, with its append time (epoch s); probes left out."""
    for topic in topics(peer):
        for message in rig.read(topic):
            routed = _decode(message.value() or b"")
            if not routed.idempotency_key.startswith(PROBE):
                yield routed, message.timestamp()[1] / 1000


def contents(routed: Routed, peer: Peer, ring: KeyRing) -> Contents:
    """(user, key, channel, address, params), opened. Raises Unsealable where a sealed value does not fit."""
    user, key = routed.user_id, routed.idempotency_key
    address = ring.open(routed.address, context(TENANT, user)).decode()
    given = msgspec.json.decode(routed.params)
    if isinstance(given, dict):
        params = canonical(given)
    else:
        params = base64.b64decode(given)
        if peer.told:
            params = ring.open(params, notification_id(TENANT, Lane.HIGH, user, key).encode())
    return Contents(user, key, routed.channel, address, params.decode())


class Verdict(msgspec.Struct):
    """Deliveries that are missing, that should not be, and that were written again; when the last was appended."""

    lost: int
    wrong: int
    again: int
    last: float

    @property
    def clean(self) -> bool:
        """Whether it is all there and nothing else; what was written again is not held against it."""
        return not (self.lost or self.wrong)


def judge(rig: Rig, peer: Peer, wanted: frozenset[Contents]) -> Verdict:
    """Hold a peer's deliveries against the expected ones."""
    found: set[Contents] = set()
    written, last = 0, 0.0
    for routed, at in deliveries(rig, peer):
        found.add(contents(routed, peer, rig.ring))
        written, last = written + 1, max(last, at)
    return Verdict(len(wanted - found), len(found - wanted), written - len(found), last)


def untold(rig: Rig, peer: Peer, topic: str) -> int:
    """Inputs of `topic` without a decision record, for a peer that writes them."""
    seen = {
        position
        for message in rig.read(f"{peer.prefix}statuses")
        if (position := _position(message.value() or b"").position).startswith(f"{topic}/")
    }
    return rig.end(topic) - len(seen)


class Watch:
    """What comes to some topics from now on."""

    def __init__(self, rig: Rig, names: Sequence[str]) -> None:
        settings = {"bootstrap.servers": rig.brokers, "group.id": "bench-watch", "enable.auto.commit": False}
        self._consumer = Consumer(settings | {"log_level": 3, "fetch.wait.max.ms": 20})
        self._consumer.assign([
            TopicPartition(name, number, self._consumer.get_watermark_offsets(TopicPartition(name, number))[1])
            for name in names
            for number in range(PARTITIONS)
        ])  # fmt: skip

    def poll(self, limit_s: float = 0.05) -> list[Message]:
        """What has come; waits at most so long for the first."""
        first = self._consumer.poll(limit_s)
        return [] if first is None else [first, *self._consumer.consume(10_000, 0.0)]

    def await_keys(self, keys: Iterable[str], limit_s: float) -> float:
        """Wait for a delivery of each idempotency key; returns when the last was appended. Raises BenchError."""
        left, last, deadline = set(keys), 0.0, time.time() + limit_s
        while left:
            for message in self.poll():
                key = _decode(message.value() or b"").idempotency_key
                if key in left:
                    left.remove(key)
                    last = max(last, message.timestamp()[1] / 1000)
            if left and time.time() > deadline:
                raise BenchError(f"{len(left)} of the probes did not come within {limit_s:.0f} s")
        return last

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()
