"""The upstream producers of the demo: a steady stream on the high lane, a blast on the low one every few seconds."""

import threading
import time
from collections import Counter, deque
from random import Random

from confluent_kafka import Message

from flows.demo.people import newcomer
from flows.demo.traffic import Shot, Traffic, Way
from flows.upstream import Upstream
from schemas import topics
from schemas.errors import Misconfigured
from schemas.records import encode
from schemas.sealing import KeyRing
from schemas.vocabulary import Lane

HIGH_PER_S = 250
BLAST, BLAST_EVERY_S, FIRST_BLAST_S = 500, 5.0, 2.0
INTRODUCED_AFTER_S = 1.5
"""How long after a newcomer's first notification their preference arrives."""
_TICK_S = 0.04


class Sender:
    """Writes in a thread until `stop`."""

    def __init__(self, brokers: str, ring: KeyRing, seed: int) -> None:
        self._ring, self._dice = ring, Random(seed)  # noqa: S311 - traffic needs no cryptographic dice
        self._traffic = Traffic(self._dice)
        self._producers = {way: Upstream(brokers, way.value) for way in Way}
        self._introductions: deque[tuple[float, str]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name="upstream", daemon=True)
        self._failure: Misconfigured | None = None
        self.written: Counter[str] = Counter()
        """Records that the broker has acknowledged, by topic."""

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is begun and end. Raises Misconfigured if the broker did not take everything."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        started, sent = time.monotonic(), 0
        blast_at = started + FIRST_BLAST_S
        while not self._stopping.wait(_TICK_S):
            now = time.monotonic()
            while sent < (now - started) * HIGH_PER_S:
                self._write(self._traffic.shot(Lane.HIGH), now)
                sent += 1
            if now >= blast_at:
                blast_at += BLAST_EVERY_S
                for _ in range(BLAST):
                    self._write(self._traffic.shot(Lane.LOW), now)
            self._introduce(now)
            for producer in self._producers.values():
                producer.turn()
        self._introduce(float("inf"))
        try:
            for producer in self._producers.values():
                producer.flush()
        except Misconfigured as error:
            self._failure = error

    def _write(self, shot: Shot, now: float) -> None:
        self._producers[shot.way].write(shot.topic, shot.key, shot.value, self._count)
        if shot.newcomer is not None:
            self._introductions.append((now + INTRODUCED_AFTER_S, shot.newcomer))

    def _introduce(self, now: float) -> None:
        while self._introductions and self._introductions[0][0] <= now:
            _, user_id = self._introductions.popleft()
            preference = newcomer(user_id, self._dice, self._ring)
            self._producers[Way.RIGHT].write(topics.PREFERENCES.name, user_id, encode(preference))

    def _count(self, message: Message) -> None:
        self.written[message.topic() or ""] += 1
