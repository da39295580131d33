"""Templates from a real bucket, rows in a real table, and a table that takes only some of them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from agents.render import Template
from flows.clients import DOWN_FOR_S, GONE_FOR_S, LATEST_FOR_S, Rows, Templates
from flows.settings import Settings
from schemas.errors import Malformed, Misconfigured
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


# -- rows ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(settings: Settings) -> Rows:
    """Empty tables."""
    made = Rows(settings)
    made.make_tables()
    return made


def item(id_: str, rank: int = 1, user: str = "u1") -> dict[str, Any]:
    texts = {"notification_id": id_, "user_id": user, "created_at": "2026-01-01T00:00:00.000+00:00"}
    return {name: {"S": text} for name, text in texts.items()} | {"rank": {"N": str(rank)}}


async def test_25_rows_go_in_one_request_and_are_all_there(rows: Rows) -> None:
    assert await rows.put(rows.logs, [item(f"n{number}") for number in range(25)]) == []
    assert sorted(found["notification_id"]["S"] for found in rows.scan(rows.logs)) == sorted(f"n{n}" for n in range(25))


async def test_rows_that_the_store_refuses_come_back_by_their_places(rows: Rows) -> None:
    assert await rows.put("NoSuchTable", [item("a"), item("b")]) == [0, 1]


async def test_rows_come_back_when_there_is_no_store(settings: Settings) -> None:
    rows = Rows(replace(settings, dynamodb="http://127.0.0.1:1"))
    assert await rows.put(rows.logs, [item("a")]) == [0]
    assert await rows.raise_rank(item("a")) is False


async def test_a_rank_is_raised_over_a_lower_one_only(rows: Rows) -> None:
    for rank, stands in ((5, 5), (3, 3 + 2), (5, 5), (7, 7)):
        assert await rows.raise_rank(item("a", rank))
        found = rows.get("a")
        assert found is not None
        assert found["rank"] == {"N": str(stands)}


def test_a_row_that_is_not_there_is_none(rows: Rows) -> None:
    assert rows.get("nothing") is None


def test_the_tables_have_their_index_and_their_time_to_live_and_making_them_twice_does_no_harm(rows: Rows) -> None:
    rows.make_tables()
    [index] = rows._dynamo.describe_table(TableName=rows.logs)["Table"]["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["user_id", "created_at"]
    life = rows._dynamo.describe_time_to_live(TableName=rows.logs)["TimeToLiveDescription"]
    assert (life["TimeToLiveStatus"], life["AttributeName"]) == ("ENABLED", "expires_at")


class Choosy:
    """A store over HTTP that leaves rows unprocessed: `leave(items)` picks them."""

    def __init__(self, leave: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        self.taken: list[list[str]] = []
        choosy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                [(table, requests)] = asked["RequestItems"].items()
                left = leave(requests)
                choosy.taken.append(
                    [r["PutRequest"]["Item"]["notification_id"]["S"] for r in requests if r not in left]
                )
                answer = json.dumps({"UnprocessedItems": {table: left} if left else {}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are not news."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def choosy() -> Iterator[Choosy]:
    """A store that takes only the first of several rows."""
    store = Choosy(lambda requests: requests[1:])
    yield store
    store.close()


async def test_unprocessed_rows_come_back_by_their_places(settings: Settings, choosy: Choosy) -> None:
    rows = Rows(replace(settings, dynamodb=choosy.url))
    assert await rows.put(rows.logs, [item("a"), item("b"), item("c")]) == [1, 2]
    assert choosy.taken == [["a"]]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Settings(dynamodb="127.0.0.1:8000"), "Invalid endpoint"),
        (Settings(dynamodb="http://no_host_name"), "Invalid endpoint"),
        (Settings(region="no region"), "CARILLON_REGION"),
    ],
)
def test_settings_of_which_no_client_can_be_made_are_refused_by_name(wrong: Settings, says: str) -> None:
    with pytest.raises(Misconfigured, match=says) as caught:
        Rows(wrong)
    assert "CARILLON_DYNAMODB" in str(caught.value)
