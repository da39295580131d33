"""Templates from a real bucket, and from one that is not there."""

import time
from dataclasses import replace

import pytest

from flows.settings import Settings
from flows.templates import (
    DOWN_FOR_S,
    GONE_FOR_S,
    LATEST_FOR_S,
    Templates,
)
from schemas.errors import Malformed
from schemas.vocabulary import Reason
from tests.flows.bucket import Clock, body, fetched, version_of
from tests.flows.engine.conftest import eventually


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
