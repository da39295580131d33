"""Rows in a real table, and a table that takes only some of them."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from flows.clients import Answer, Rows
from flows.settings import Settings
from schemas.errors import Misconfigured


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
    assert await rows.put(rows.logs, [item(f"n{number}") for number in range(25)]) == Answer([])
    assert sorted(found["notification_id"]["S"] for found in rows.scan(rows.logs)) == sorted(f"n{n}" for n in range(25))


async def test_rows_that_the_store_refuses_come_back_by_their_places(rows: Rows) -> None:
    assert await rows.put("NoSuchTable", [item("a"), item("b")]) == Answer(range(2))


async def test_rows_come_back_when_there_is_no_store(settings: Settings) -> None:
    rows = Rows(replace(settings, dynamodb="http://127.0.0.1:1"))
    assert await rows.put(rows.logs, [item("a")]) == Answer(range(1))
    assert await rows.raise_rank(item("a")) == Answer([0])


async def test_a_rank_is_raised_over_a_lower_one_only(rows: Rows) -> None:
    for rank, stands in ((5, 5), (3, 3 + 2), (5, 5), (7, 7)):
        assert await rows.raise_rank(item("a", rank)) == Answer()
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
    assert await rows.put(rows.logs, [item("a"), item("b"), item("c")]) == Answer([1, 2])
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
