"""Clients of AWS, and the rows in DynamoDB. boto3 blocks, so everything here runs in threads of its own."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
import msgspec
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flows.settings import Settings
from schemas.errors import Misconfigured

Item = dict[str, Any]
"""A row in DynamoDB's types."""
BATCH = 25
"""DynamoDB's limit for BatchWriteItem."""
PAGE = 1000
"""Rows of one page of a scan: without a limit DynamoDB Local runs out of memory over a few hundred thousand."""


def client(service: str, endpoint: str, settings: Settings) -> BaseClient:
    """A client of one of AWS's services, or of the server at `endpoint`. Raises Misconfigured."""
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=2,
        read_timeout=5,
        max_pool_connections=32,  # no pool of threads here has more: botocore logs a line for each one beyond it
        parameter_validation=False,
        s3={"addressing_style": "path"},
    )
    try:
        return boto3.client(service, endpoint_url=endpoint or None, region_name=settings.region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(
            f"no client for {service}: {error}; look at CARILLON_{service.upper()}, CARILLON_REGION and AWS_* variables"
        ) from None


_PERMANENT = ("ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException")
"""What DynamoDB says of an item that it takes at no time: a key or an item beyond its limits, an empty key, a number
out of range. Anything else (throttling, a missing table, credentials, no answer) may be mended while rows wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the items of a request, by their places: those to be sent again, and those that are refused for
    good, with the store's error code. The others were taken."""

    again: Sequence[int] = ()
    never: Mapping[int, str] = field(default_factory=dict)


class Rows:
    """DynamoDB by typed items: what it could not take is handed back, never lost."""

    def __init__(self, settings: Settings) -> None:
        self.logs, self.preferences = settings.logs_table, settings.preferences_table
        self._dynamo: Any = client("dynamodb", settings.dynamodb, settings)
        self._dynamo.meta.events.register("before-parameter-build.dynamodb.BatchWriteItem", _set_aside)
        self._dynamo.meta.events.register("before-call.dynamodb.BatchWriteItem", _encode)
        self._pool = ThreadPoolExecutor(thread_name_prefix="rows")

    async def put(self, table: str, items: Sequence[Item]) -> Answer:
        """Write up to 25 items."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._put, table, items)

    def _put(self, table: str, items: Sequence[Item]) -> Answer:
        request = {table: [{"PutRequest": {"Item": item}} for item in items]}
        try:
            left = self._dynamo.batch_write_item(RequestItems=request).get("UnprocessedItems", {}).get(table, [])
        except ClientError as error:
            return self._refused(table, items, error.response["Error"]["Code"])
        except BotoCoreError:
            return Answer(range(len(items)))
        untaken = [entry["PutRequest"]["Item"] for entry in left]
        return Answer([place for place, item in enumerate(items) if item in untaken])

    def _refused(self, table: str, items: Sequence[Item], code: str) -> Answer:
        """What became of items that were refused together: one that is refused for good takes the others with it, so
        each half is sent by itself until it is found."""
        if code not in _PERMANENT:
            return Answer(range(len(items)))
        if len(items) == 1:
            return Answer(never={0: code})
        half = len(items) // 2
        first, rest = self._put(table, items[:half]), self._put(table, items[half:])
        again = [*first.again, *(place + half for place in rest.again)]
        return Answer(again, {**first.never, **{place + half: code for place, code in rest.never.items()}})

    async def raise_rank(self, item: Item) -> Answer:
        """Write an item of the logs over a lower rank only; it counts as taken where it is not needed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._raise_rank, item)

    def _raise_rank(self, item: Item) -> Answer:
        try:
            self._dynamo.put_item(
                TableName=self.logs,
                Item=item,
                ConditionExpression="attribute_not_exists(#rank) OR #rank < :rank",
                ExpressionAttributeNames={"#rank": "rank"},
                ExpressionAttributeValues={":rank": item["rank"]},
            )
        except self._dynamo.exceptions.ConditionalCheckFailedException:
            return Answer()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return Answer(never={0: code}) if code in _PERMANENT else Answer([0])
        except BotoCoreError:
            return Answer([0])
        return Answer()

    def get(self, notification_id: str) -> dict[str, Any] | None:
        """A row of the logs as DynamoDB has it (blocks)."""
        found: dict[str, Any] | None = self._dynamo.get_item(
            TableName=self.logs, Key={"notification_id": {"S": notification_id}}, ConsistentRead=True
        ).get("Item")
        return found

    def scan(self, table: str) -> list[dict[str, Any]]:
        """Every row (blocks): for the demo's summary and for tests."""
        pages = self._dynamo.get_paginator("scan").paginate(
            TableName=table, ConsistentRead=True, PaginationConfig={"PageSize": PAGE}
        )
        return [item for page in pages for item in page["Items"]]

    def make_tables(self) -> None:
        """Make the tables with their index and TTL if they are not there (blocks)."""
        self._make(
            self.logs,
            [("notification_id", "HASH")],
            [{"IndexName": "user_id", "KeySchema": _schema([("user_id", "HASH"), ("created_at", "RANGE")])}],
            ["notification_id", "user_id", "created_at"],
        )
        self._make(self.preferences, [("user_id", "HASH"), ("channel_type", "RANGE")], [], ["user_id", "channel_type"])

    def _make(self, name: str, keys: list[tuple[str, str]], indexes: list[dict[str, Any]], names: list[str]) -> None:
        extra = {"GlobalSecondaryIndexes": [{**i, "Projection": {"ProjectionType": "ALL"}} for i in indexes]}
        try:
            self._dynamo.create_table(
                TableName=name,
                KeySchema=_schema(keys),
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
                BillingMode="PAY_PER_REQUEST",
                **(extra if indexes else {}),
            )
        except self._dynamo.exceptions.ResourceInUseException:
            return
        self._dynamo.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        if name == self.logs:
            self._dynamo.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
            )


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Keep rows from botocore's serializer: it walks them value by value, which costs more than all else of a row."""
    context["rows"] = params["RequestItems"]
    params["RequestItems"] = dict.fromkeys(context["rows"], ())


def _encode(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put the rows into a request about to be signed. They are DynamoDB's JSON already: they hold no bytes."""
    params["body"] = msgspec.json.encode({"RequestItems": context["rows"]})


def _schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]
