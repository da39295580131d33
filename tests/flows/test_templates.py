"""Templates from a real bucket, and from one that is slow, broken or full of surprises."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from agents.render import MAX_SOURCE_BYTES, Template
from flows.settings import Settings
from flows.templates import (
    CACHED_BYTES,
    DOWN_FOR_S,
    GONE_FOR_S,
    LATEST_FOR_S,
    WARMED,
    WARMED_WITHIN_S,
    WORTH_WAITING_S,
    Templates,
)
from schemas.errors import Malformed
from schemas.vocabulary import Reason
from tests.flows.engine.conftest import eventually


def body(version: int, text: str = "Hello {{name}}") -> bytes:
    return json.dumps({"version": version, "channels": {"sms": {"body": text}}}).encode()


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def templates(settings: Settings, clock: Clock) -> Templates:
    """A cache in front of an empty bucket."""
    made = Templates(settings, clock)
    made.make_bucket()
    return made


def fetched(templates: Templates, template_id: str, version: int | None = None) -> Template | Reason | None:
    """What `peek` says once nothing is being fetched."""
    templates.peek(template_id, version)
    eventually(lambda: not templates._fetching)
    return templates.peek(template_id, version)


def version_of(found: Template | Reason | None) -> int:
    assert isinstance(found, Template), found
    return found.version


def test_the_first_peek_waits_for_nothing_and_a_later_one_has_the_template(templates: Templates) -> None:
    templates.publish("greeting", 1, body(1))
    began = time.monotonic()
    assert templates.peek("greeting", None) is None
    assert time.monotonic() - began < 0.05
    assert version_of(fetched(templates, "greeting")) == 1


def test_a_version_is_fetched_once_and_never_again(templates: Templates, clock: Clock) -> None:
    templates.publish("greeting", 1, body(1))
    first = fetched(templates, "greeting", 1)
    templates._s3.put_object(Bucket=templates._bucket, Key="greeting/1.json", Body=body(99))
    clock.now += 365 * 24 * 3600
    assert fetched(templates, "greeting", 1) is first


def test_the_latest_is_looked_at_again_after_a_while_and_served_meanwhile(templates: Templates, clock: Clock) -> None:
    templates.publish("greeting", 1, body(1))
    assert version_of(fetched(templates, "greeting")) == 1
    templates.publish("greeting", 2, body(2))
    clock.now += LATEST_FOR_S - 1
    assert version_of(fetched(templates, "greeting")) == 1
    clock.now += 2
    assert version_of(templates.peek("greeting", None)) == 1
    eventually(lambda: not templates._fetching)
    assert version_of(templates.peek("greeting", None)) == 2


def test_a_template_that_is_not_there_is_told_from_one_that_cannot_be_read_and_a_bucket_that_is_gone(
    templates: Templates, settings: Settings, clock: Clock
) -> None:
    templates._s3.put_object(Bucket=templates._bucket, Key="broken/latest.json", Body=b"{not json")
    assert fetched(templates, "nothing") is Reason.NO_TEMPLATE
    assert fetched(templates, "broken") is Reason.BAD_TEMPLATE
    nowhere = Templates(replace(settings, s3="http://127.0.0.1:1"), clock)
    assert fetched(nowhere, "greeting") is Reason.TEMPLATE_UNAVAILABLE


@pytest.mark.parametrize(("template_id", "wait"), [("nothing", GONE_FOR_S), ("broken", GONE_FOR_S)])
def test_what_was_mended_is_found_after_a_short_while(
    templates: Templates, clock: Clock, template_id: str, wait: float
) -> None:
    templates._s3.put_object(Bucket=templates._bucket, Key="broken/latest.json", Body=b"{not json")
    assert isinstance(fetched(templates, template_id), Reason)
    templates.publish(template_id, 1, body(1))
    assert isinstance(fetched(templates, template_id), Reason)
    clock.now += wait + 0.1
    assert version_of(fetched(templates, template_id)) == 1


def test_the_last_good_version_is_served_while_the_bucket_is_gone_and_the_next_one_when_it_is_back(
    templates: Templates, settings: Settings, clock: Clock
) -> None:
    templates.publish("greeting", 1, body(1))
    assert version_of(fetched(templates, "greeting")) == 1
    s3 = templates._s3
    templates._s3 = Templates(replace(settings, s3="http://127.0.0.1:1"))._s3
    for _ in range(3):
        clock.now += LATEST_FOR_S + 0.1
        assert version_of(fetched(templates, "greeting")) == 1
    templates._s3 = s3
    templates.publish("greeting", 2, body(2))
    clock.now += DOWN_FOR_S + 0.1
    assert version_of(fetched(templates, "greeting")) == 2


@pytest.mark.parametrize("bad", [b"{not json", None])
def test_the_last_good_version_is_served_when_the_latest_is_broken_or_deleted(
    templates: Templates, clock: Clock, bad: bytes | None
) -> None:
    templates.publish("greeting", 1, body(1))
    assert version_of(fetched(templates, "greeting")) == 1
    if bad is None:
        templates._s3.delete_object(Bucket=templates._bucket, Key="greeting/latest.json")
    else:
        templates._s3.put_object(Bucket=templates._bucket, Key="greeting/latest.json", Body=bad)
    clock.now += LATEST_FOR_S + 0.1
    assert version_of(fetched(templates, "greeting")) == 1


def test_warming_fetches_every_latest_and_without_a_bucket_none(templates: Templates, settings: Settings) -> None:
    for name in ("one", "two"):
        templates.publish(name, 3, body(3))
    fresh = Templates(settings)
    assert fresh.warm() == 2
    assert version_of(fresh.peek("two", None)) == 3
    assert fresh.published() == {"one", "two"}
    assert Templates(replace(settings, s3="http://127.0.0.1:1")).warm() == 0


def test_a_template_that_cannot_be_read_is_not_published(templates: Templates) -> None:
    with pytest.raises(Malformed):
        templates.publish("greeting", 1, b"{not json")
    assert templates.published() == set()


def test_making_the_bucket_twice_does_no_harm(templates: Templates) -> None:
    templates.make_bucket()
    status = templates._s3.get_bucket_versioning(Bucket=templates._bucket)["Status"]
    assert status == "Enabled"


# -- a bucket that misbehaves --------------------------------------------------------------------------------------


class Bucket:
    """A bucket in memory: `held` keys answer once they are let go, `raises` is what every other request raises."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.held: dict[str, threading.Event] = {}
        self.raises: Exception | None = None
        self.asked: list[str] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.asked.append(Key)
        if Key in self.held:
            assert self.held[Key].wait(30)
        if self.raises is not None:
            raise self.raises
        return {"Body": BytesIO(self.objects.get(Key, body(1)))}

    def get_paginator(self, name: str) -> "Bucket":
        return self

    def paginate(self, Bucket: str) -> Iterator[dict[str, Any]]:
        if self.raises is not None:
            raise self.raises
        yield {"Contents": [{"Key": key} for key in self.objects]}


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def cache(bucket: Bucket, clock: Clock) -> Templates:
    """A cache in front of the bucket in memory."""
    made = Templates(Settings(), clock)
    made._s3 = bucket
    return made


def test_an_error_that_nobody_foresaw_is_told_and_the_template_is_asked_for_again(
    cache: Templates, bucket: Bucket, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.raises = KeyError("unforeseen")
    assert fetched(cache, "greeting") is Reason.TEMPLATE_UNAVAILABLE
    assert "template_fetch_failed" in caplog.text
    bucket.raises = None
    clock.now += DOWN_FOR_S + 0.1
    assert version_of(fetched(cache, "greeting")) == 1


def test_what_the_bucket_said_expires_counting_from_its_answer(cache: Templates, bucket: Bucket, clock: Clock) -> None:
    held = bucket.held["slow/latest.json"] = threading.Event()
    bucket.objects["slow/latest.json"] = b"{not json"
    cache.peek("slow", None)
    clock.now += GONE_FOR_S * 2
    held.set()
    eventually(lambda: not cache._fetching)
    asked = len(bucket.asked)
    assert cache.peek("slow", None) is Reason.BAD_TEMPLATE
    assert len(bucket.asked) == asked, "it has not expired when it comes"


def test_while_fetches_are_slow_nobody_waits_and_a_known_template_is_served(
    cache: Templates, bucket: Bucket, clock: Clock
) -> None:
    assert version_of(fetched(cache, "known")) == 1
    held = bucket.held["slow/latest.json"] = threading.Event()
    assert cache.peek("slow", None) is None, "a fetch is worth a short wait"
    clock.now += WORTH_WAITING_S
    assert cache.peek("slow", None) is Reason.TEMPLATE_UNAVAILABLE
    assert cache.peek("other", None) is Reason.TEMPLATE_UNAVAILABLE, "waits for several would add up"
    assert version_of(cache.peek("known", None)) == 1
    held.set()
    eventually(lambda: not cache._fetching)
    assert cache.peek("third", None) is None, "fetches are quick again"


def test_an_object_that_is_too_large_is_a_bad_template_and_is_not_read_to_its_end(
    cache: Templates, bucket: Bucket
) -> None:
    large = BytesIO(b"x" * (MAX_SOURCE_BYTES + 1000))
    bucket.get_object = lambda Bucket, Key: {"Body": large}  # type: ignore[method-assign, assignment, misc]
    assert fetched(cache, "large") is Reason.BAD_TEMPLATE
    assert large.tell() == MAX_SOURCE_BYTES + 1


def test_the_cache_keeps_what_was_asked_for_last_within_its_bounds(
    cache: Templates, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.templates.CACHED_NAMES", 3)
    for name in ("one", "two", "three", "one", "four"):
        assert version_of(fetched(cache, name)) == 1
    assert list(cache._known) == ["three/latest.json", "one/latest.json", "four/latest.json"]
    text = "x" * (MAX_SOURCE_BYTES // 2)
    monkeypatch.setattr("flows.templates.CACHED_BYTES", MAX_SOURCE_BYTES)
    for name in ("five", "six"):
        bucket.objects[f"{name}/latest.json"] = body(1, text)
        fetched(cache, name)
    assert sum(cached.size for cached in cache._known.values()) == cache._size <= MAX_SOURCE_BYTES < CACHED_BYTES
    assert "six/latest.json" in cache._known


def test_producers_who_name_ever_new_templates_fill_no_queue_without_end(
    cache: Templates, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.templates._QUEUED", 2)
    held = threading.Event()
    bucket.held = {f"{number}/latest.json": held for number in range(5)}
    for number in range(5):
        cache.peek(str(number), None)
    assert len(cache._fetching) == 2
    held.set()
    eventually(lambda: not cache._fetching)
    assert version_of(fetched(cache, "4")) == 1


def test_warming_takes_a_bounded_time_and_number_and_never_raises(cache: Templates, bucket: Bucket) -> None:
    bucket.objects = {f"t{number:04}/latest.json": body(1) for number in range(WARMED + 50)}
    bucket.held["t0000/latest.json"] = threading.Event()
    bucket.objects["t0001/latest.json"] = body(1, "Hello {{=x=}}")
    began = time.monotonic()
    cache.warm()
    assert time.monotonic() - began < WARMED_WITHIN_S * 5
    assert len(bucket.asked) <= WARMED
    bucket.held["t0000/latest.json"].set()
    eventually(lambda: cache.peek("t0001", None) is Reason.BAD_TEMPLATE)
    asked = len(bucket.asked)
    cache.warm()
    assert len(bucket.asked) == asked, "the flows of a process share what the first has fetched"


def test_a_bucket_that_raises_at_the_start_is_told_and_ends_nothing(
    cache: Templates, bucket: Bucket, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.raises = KeyError("unforeseen")
    assert cache.warm() == 0
    assert "templates_not_listed" in caplog.text
    clock.now += 7
    assert cache.failing_s() == 7
    bucket.raises = None
    fetched(cache, "greeting")
    assert cache.failing_s() == 0
