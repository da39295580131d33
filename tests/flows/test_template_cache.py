"""Templates from a bucket that is slow, broken or full of surprises."""

import threading
import time
from io import BytesIO

import pytest
from botocore.exceptions import EndpointConnectionError

from agents.render import MAX_SOURCE_BYTES
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
from schemas.vocabulary import Reason
from tests.flows.bucket import Bucket, Clock, body, fetched, version_of
from tests.flows.engine.conftest import eventually


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


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


def test_names_without_a_template_displace_none_that_is_served_even_while_the_bucket_is_away(
    cache: Templates, bucket: Bucket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.templates.CACHED_NAMES", 3)
    assert version_of(fetched(cache, "greeting")) == 1
    bucket.raises = EndpointConnectionError(endpoint_url="nowhere")
    for number in range(10):
        assert fetched(cache, f"of-a-producer-{number}") is Reason.TEMPLATE_UNAVAILABLE
    clock.now += LATEST_FOR_S + 1
    assert version_of(fetched(cache, "greeting")) == 1
    assert (len(cache._known), len(cache._refused)) == (1, 3)


def test_an_answer_takes_the_place_of_the_one_before(cache: Templates, bucket: Bucket, clock: Clock) -> None:
    bucket.objects["greeting/latest.json"] = b"{not json"
    assert fetched(cache, "greeting") is Reason.BAD_TEMPLATE
    bucket.objects["greeting/latest.json"] = body(2)
    clock.now += GONE_FOR_S + 0.1
    assert version_of(fetched(cache, "greeting")) == 2
    assert not cache._refused


@pytest.mark.parametrize("template_id", ["..", ".", "../other/otp", "a/../otp", "./otp", "a//otp", "/otp", "otp/"])
def test_an_id_that_a_path_would_fold_has_no_template_and_is_not_asked_for(
    cache: Templates, bucket: Bucket, template_id: str
) -> None:
    assert cache.peek(template_id, None) is Reason.NO_TEMPLATE
    assert bucket.asked == []
    assert not cache._fetching
    assert version_of(fetched(cache, "mails/otp..v2")) == 1, "folders and dots are no harm"


def test_a_process_that_ends_fetches_nothing_that_is_still_queued(cache: Templates, bucket: Bucket) -> None:
    held = threading.Event()
    bucket.held = {f"{number}/latest.json": held for number in range(100)}
    for number in range(100):
        cache.peek(str(number), None)
    cache.close()
    assert cache.peek("after", None) in (None, Reason.TEMPLATE_UNAVAILABLE)
    held.set()
    cache._pool.shutdown(wait=True)
    assert len(bucket.asked) < 100


def test_a_bucket_that_is_back_is_found_to_be_though_nobody_asks_for_a_template(
    cache: Templates, bucket: Bucket, clock: Clock
) -> None:
    bucket.raises = EndpointConnectionError(endpoint_url="nowhere")
    bucket.objects["greeting/latest.json"] = body(1)
    cache.warm()
    clock.now += 7
    assert cache.failing_s() == 7
    eventually(lambda: cache._listing is not None and cache._listing.done())
    bucket.raises = None
    clock.now += 7
    cache.failing_s()
    eventually(lambda: cache.failing_s() == 0)
    assert version_of(cache.peek("greeting", None)) == 1
