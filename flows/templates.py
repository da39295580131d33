"""Templates from the bucket in S3, by a cache that never waits.

A template that is served stays served while the bucket is away. One that is not known is fetched in a thread, at most
one thread a template; whoever asks is told to wait while fetches are quick, and that it is unavailable while they are
not: then its deliveries wait in a retry tier and hold nobody else up.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from agents.render import MAX_SOURCE_BYTES, Template
from flows.clients import client
from flows.settings import Settings
from schemas.errors import Malformed
from schemas.vocabulary import Reason

LATEST_FOR_S = 30.0
"""How long `latest` is served before it is looked at again; a failed look serves the last good version."""
GONE_FOR_S = 5.0
DOWN_FOR_S = 1.0
WORTH_WAITING_S = 0.2
"""How long a fetch may take until its template, and any other that is not known, counts as unavailable."""
CACHED_BYTES, CACHED_NAMES = 64 * 1024 * 1024, 10_000
"""Ids and versions are the producers' choice: the templates used last are kept, up to so many and so much source.
Names that have no template are counted apart: however many there are, they displace no template that is served."""
WARMED, WARMED_WITHIN_S = 200, 1.0
"""At most so many templates are fetched before a flow starts, within that time; others when they are asked for."""
LISTED_AGAIN_S = 2.0
"""A bucket that does not answer is asked again what is in it after so long."""
_THREADS, _QUEUED = 16, 1_000
_MISSING = ("NoSuchKey", "404", "NoSuchVersion", "KeyTooLongError")

log = logging.getLogger("carillon.templates")


@dataclass(frozen=True, slots=True)
class _Cached:
    """What is known of one object, until when (the clock's seconds), and how long its source is."""

    found: Template | Reason
    until: float
    size: int = 0

    @property
    def good(self) -> Template | None:
        return self.found if isinstance(self.found, Template) else None


class Templates:
    """The cache in front of the bucket. `clock` gives seconds that never go back."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket, self._clock = settings.bucket, clock
        self._s3: Any = client("s3", settings.s3, settings)
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="templates")
        self._lock = threading.Lock()
        """Held for the fields below, which the loop and the pool's threads share."""
        self._known: OrderedDict[str, _Cached] = OrderedDict()
        """The one asked for last comes last."""
        self._refused: OrderedDict[str, _Cached] = OrderedDict()
        """Names without a template, each with its reason; the one answered last comes last."""
        self._size = 0
        self._fetching: dict[str, float] = {}
        """When each fetch under way, or waiting for a thread, was asked for; the oldest comes first."""
        self._failing_since: float | None = None
        self._listing: Future[None] | None = None
        """The last time that the bucket was asked what is in it, at `_listed_at`."""
        self._listed_at, self._closed = 0.0, False

    def peek(self, template_id: str, version: int | None) -> Template | Reason | None:
        """As `agents.render.Known` says."""
        name, now = f"{template_id}/{version if version is not None else 'latest'}.json", self._clock()
        with self._lock:
            cached = self._known.get(name)
            if cached is not None:
                self._known.move_to_end(name)
            else:
                cached = self._refused.get(name)
            if cached is not None and now < cached.until:
                return cached.found
            if not _is_plain(template_id):
                return Reason.NO_TEMPLATE
            self._fetch_later(name, now)
            if cached is not None and cached.good is not None:
                return cached.good
            return None if self._is_quick(now) else Reason.TEMPLATE_UNAVAILABLE

    def _fetch_later(self, name: str, now: float) -> None:
        if name not in self._fetching and len(self._fetching) < _QUEUED and not self._closed:
            self._fetching[name] = now
            self._pool.submit(self._fetch, name)

    def _is_quick(self, now: float) -> bool:
        oldest = next(iter(self._fetching.values()), now)
        return now - oldest < WORTH_WAITING_S and self._failing_since is None

    def failing_s(self) -> float:
        """Seconds since the bucket last answered, while it does not; else 0.

        Meanwhile each call sees that it is asked again, so that it is found to be back though nobody needs a template.
        """
        with self._lock:
            since, now = self._failing_since, self._clock()
            if since is None:
                return 0.0
            idle = self._listing is None or self._listing.done()
            if idle and now - self._listed_at >= LISTED_AGAIN_S and not self._closed:
                self._list(now)
            return now - since

    def _fetch(self, name: str) -> None:
        cached, answered = _Cached(Reason.TEMPLATE_UNAVAILABLE, 0.0), False
        try:
            cached, answered = self._asked(name)
        except Exception as error:  # it would be lost with its thread, and the name never be asked for again
            log.warning("template_fetch_failed", extra={"template": name, "error": type(error).__name__})
            cached = _Cached(Reason.TEMPLATE_UNAVAILABLE, self._clock() + DOWN_FOR_S)
        finally:
            self._keep(name, cached, answered=answered)

    def _asked(self, name: str) -> tuple[_Cached, bool]:
        """Ask the bucket; returns what it said, and whether it answered at all. Expiry counts from the answer."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=name)
            body = answer["Body"].read(MAX_SOURCE_BYTES + 1)
            template = Template.read(body)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return _Cached(Reason.NO_TEMPLATE, self._clock() + GONE_FOR_S), True
            return _Cached(Reason.TEMPLATE_UNAVAILABLE, self._clock() + DOWN_FOR_S), False
        except BotoCoreError:
            return _Cached(Reason.TEMPLATE_UNAVAILABLE, self._clock() + DOWN_FOR_S), False
        except Malformed as error:
            log.warning("template_is_bad", extra={"template": name, "why": error.detail})
            return _Cached(error.reason, self._clock() + GONE_FOR_S), True
        until = self._clock() + LATEST_FOR_S if name.endswith("/latest.json") else float("inf")
        return _Cached(template, until, len(body)), True

    def _keep(self, name: str, cached: _Cached, *, answered: bool) -> None:
        with self._lock:
            self._fetching.pop(name, None)
            if answered:
                self._failing_since = None
            elif self._failing_since is None:
                self._failing_since = self._clock()
            earlier = self._known.pop(name, None)
            self._refused.pop(name, None)
            if earlier is not None:
                self._size -= earlier.size
                if cached.good is None:
                    cached = _Cached(earlier.found, cached.until, earlier.size)
            if cached.good is None:
                self._refused[name] = cached
            else:
                self._known[name] = cached
                self._size += cached.size
            while self._size > CACHED_BYTES or len(self._known) > CACHED_NAMES:
                _, oldest = self._known.popitem(last=False)
                self._size -= oldest.size
            while len(self._refused) > CACHED_NAMES:
                self._refused.popitem(last=False)

    def warm(self) -> int:
        """Fetch some of the templates before the flow starts (blocks for a second or so); returns how many are known.

        The flows of a process share the cache: the first of them warms it. Never raises.
        """
        with self._lock:
            listing = self._listing
            first = self._list(self._clock()) if listing is None else None
        if first is not None:
            wait({first}, WARMED_WITHIN_S)
        return len(self._known)

    def _list(self, now: float) -> Future[None]:
        self._listed_at, self._listing = now, self._pool.submit(self._warm)
        return self._listing

    def _warm(self) -> None:
        began, fetches = self._clock(), list[Future[None]]()
        try:
            ids = self._ids(WARMED)
        except Exception as error:  # a flow starts without its templates, and asks for each when it needs it
            log.warning("templates_not_listed", extra={"error": type(error).__name__})
            with self._lock:
                self._failing_since = self._failing_since or began
            return
        if not ids:  # else the fetches tell
            with self._lock:
                self._failing_since = None
        for template_id in ids:
            fetches.append(self._pool.submit(self._fetch, f"{template_id}/latest.json"))
        wait(fetches, WARMED_WITHIN_S)

    def _ids(self, most: int) -> list[str]:
        """The ids of the first templates of the bucket that have a latest version."""
        found: list[str] = []
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            names = (listed["Key"] for listed in page.get("Contents", ()))
            found += (name.removesuffix("/latest.json") for name in names if name.endswith("/latest.json"))
            if len(found) >= most:
                break
        return found[:most]

    def close(self) -> None:
        """Fetch nothing more. A process waits for its threads as it ends: what is queued would hold it for minutes."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def published(self) -> set[str]:
        """The ids that have a latest version (blocks)."""
        return set(self._ids(2**31))

    def version(self, template_id: str) -> int:
        """The latest version of a template that `published` names (blocks); 0 where the template cannot be read."""
        answer = self._s3.get_object(Bucket=self._bucket, Key=f"{template_id}/latest.json")
        try:
            return Template.read(answer["Body"].read(MAX_SOURCE_BYTES + 1)).version
        except Malformed:
            return 0

    def publish(self, template_id: str, version: int, body: bytes) -> None:
        """Write a version and make it the latest (blocks). Raises Malformed for a template that cannot be read."""
        Template.read(body)
        for name in (str(version), "latest"):
            self._s3.put_object(Bucket=self._bucket, Key=f"{template_id}/{name}.json", Body=body)

    def make_bucket(self) -> None:
        """Make the versioned bucket if it is not there (blocks)."""
        try:
            self._s3.create_bucket(Bucket=self._bucket, **_place(self._s3.meta.region_name))
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
        self._s3.put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"})


def _place(region: str) -> dict[str, dict[str, str]]:
    """Where S3 makes a bucket: it refuses its own default region by name."""
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}


def _is_plain(template_id: str) -> bool:
    """Whether an id names one object: a store, or a proxy before it, may read a path's `.` and `..` as folders."""
    return not {"", ".", ".."} & set(template_id.split("/"))
