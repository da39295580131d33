"""The only door to DynamoDB and S3. boto3 blocks, so everything here runs in threads of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import msgspec
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from agents.render import Template
from flows.settings import Settings
from schemas.errors import Malformed, Misconfigured
from schemas.vocabulary import Reason

LATEST_FOR_S = 30.0
"""How long `latest` is served before it is looked at again; a failed look serves the last good version."""
GONE_FOR_S = 5.0
DOWN_FOR_S = 1.0
BATCH = 25
"""DynamoDB's limit for BatchWriteItem."""
PAGE = 1000
"""Rows of one page of a scan: without a limit DynamoDB Local runs out of memory over a few hundred thousand."""
_MISSING = ("NoSuchKey", "404", "NoSuchVersion")


def _client(service: str, endpoint: str, settings: Settings) -> BaseClient:
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=2,
        read_timeout=5,
        max_pool_connections=8,
        parameter_validation=False,
        s3={"addressing_style": "path"},
    )
    try:
        return boto3.client(service, endpoint_url=endpoint or None, region_name=settings.region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(
            f"no client for {service}: {error}; look at CARILLON_{service.upper()}, CARILLON_REGION and AWS_* variables"
        ) from None


class Templates:
    """The cache in front of the bucket: never waits, serves the last good version, fetches in a thread."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket, self._clock = settings.bucket, clock
        self._s3: Any = _client("s3", settings.s3, settings)
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="templates")
        self._known: dict[str, tuple[Template | Reason, float]] = {}
        self._fetching: set[str] = set()

    def peek(self, template_id: str, version: int | None) -> Template | Reason | None:
        """As `agents.render.Known` says."""
        name = f"{template_id}/{version if version is not None else 'latest'}.json"
        found = self._known.get(name)
        if found is not None and self._clock() < found[1]:
            return found[0]
        if name not in self._fetching:
            self._fetching.add(name)
            self._pool.submit(self._fetch, name)
        return found[0] if found is not None and isinstance(found[0], Template) else None

    def _fetch(self, name: str) -> None:
        now = self._clock()
        earlier = self._known.get(name)
        good = earlier[0] if earlier is not None and isinstance(earlier[0], Template) else None
        try:
            found: Template | Reason = Template.read(self._s3.get_object(Bucket=self._bucket, Key=name)["Body"].read())
            until = now + LATEST_FOR_S if name.endswith("/latest.json") else float("inf")
        except ClientError as error:
            missing = error.response["Error"]["Code"] in _MISSING
            found = good or (Reason.NO_TEMPLATE if missing else Reason.TEMPLATE_UNAVAILABLE)
            until = now + (GONE_FOR_S if missing else DOWN_FOR_S)
        except BotoCoreError:
            found, until = good or Reason.TEMPLATE_UNAVAILABLE, now + DOWN_FOR_S
        except Malformed as error:
            found, until = good or error.reason, now + GONE_FOR_S
        self._known[name] = (found, until)
        self._fetching.discard(name)

    def warm(self) -> int:
        """Fetch every `latest` before the flow starts (blocks); returns how many are known."""
        try:
            for template_id in self.published():
                self._fetch(f"{template_id}/latest.json")
        except (ClientError, BotoCoreError):
            return 0
        return len(self._known)

    def published(self) -> set[str]:
        """The ids that have a latest version (blocks)."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        names = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {name.removesuffix("/latest.json") for name in names if name.endswith("/latest.json")}

    def version(self, template_id: str) -> int:
        """The latest version of a template that `published` names (blocks); 0 where the template cannot be read."""
        body = self._s3.get_object(Bucket=self._bucket, Key=f"{template_id}/latest.json")["Body"].read()
        try:
            return Template.read(body).version
        except Malformed:
            return 0

    def publish(self, template_id: str, version: int, body: bytes) -> None:
        """Write a version and make it the latest (blocks)."""
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


class Rows:
    """DynamoDB by typed items: what it could not take is handed back, never lost."""

    def __init__(self, settings: Settings) -> None:
        self.logs, self.preferences = settings.logs_table, settings.preferences_table
        self._dynamo: Any = _client("dynamodb", settings.dynamodb, settings)
        self._dynamo.meta.events.register("before-parameter-build.dynamodb.BatchWriteItem", _set_aside)
        self._dynamo.meta.events.register("before-call.dynamodb.BatchWriteItem", _encode)
        self._pool = ThreadPoolExecutor(thread_name_prefix="rows")

    async def put(self, table: str, items: Sequence[dict[str, Any]]) -> list[int]:
        """Write up to 25 items; returns the places of those that were not taken."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._put, table, items)

    def _put(self, table: str, items: Sequence[dict[str, Any]]) -> list[int]:
        request = {table: [{"PutRequest": {"Item": item}} for item in items]}
        try:
            left = self._dynamo.batch_write_item(RequestItems=request).get("UnprocessedItems", {}).get(table, [])
        except (ClientError, BotoCoreError):
            return list(range(len(items)))
        untaken = [entry["PutRequest"]["Item"] for entry in left]
        return [place for place, item in enumerate(items) if item in untaken]

    async def raise_rank(self, item: dict[str, Any]) -> bool:
        """Write an item of the logs over a lower rank only; True if it was written or is not needed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._raise_rank, item)

    def _raise_rank(self, item: dict[str, Any]) -> bool:
        try:
            self._dynamo.put_item(
                TableName=self.logs,
                Item=item,
                ConditionExpression="attribute_not_exists(#rank) OR #rank < :rank",
                ExpressionAttributeNames={"#rank": "rank"},
                ExpressionAttributeValues={":rank": item["rank"]},
            )
        except self._dynamo.exceptions.ConditionalCheckFailedException:
            return True
        except (ClientError, BotoCoreError):
            return False
        return True

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


def _place(region: str) -> dict[str, dict[str, str]]:
    """Where S3 makes a bucket: it refuses its own default region by name."""
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Keep rows from botocore's serializer: it walks them value by value, which costs more than all else of a row."""
    context["rows"] = params["RequestItems"]
    params["RequestItems"] = dict.fromkeys(context["rows"], ())


def _encode(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put the rows into a request about to be signed. They are DynamoDB's JSON already: they hold no bytes."""
    params["body"] = msgspec.json.encode({"RequestItems": context["rows"]})


def _schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]
