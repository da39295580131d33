"""Templates that no parser takes, in the bucket before a worker starts and while it works."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result

from flows.clients import client
from flows.settings import Settings
from schemas.keys import notification_id, partition_of
from schemas.vocabulary import Lane

Carillon = Callable[..., Result]
Until = Callable[..., str]
TAG = json.dumps({"version": 1, "channels": {"sms": {"body": "Hello {{=x=}}"}}}).encode()
DEEP = b'{"version":1,"channels":' + b"[" * 100_000


@pytest.fixture(scope="module")
def put(prepared: dict[str, str]) -> Iterator[Callable[[str, bytes], None]]:
    """Write the latest version of a template as it is; all are gone when the module ends."""
    settings = Settings.from_environment(prepared)
    s3: Any = client("s3", settings.s3, settings)
    written = set[str]()

    def put(template_id: str, source: bytes) -> None:
        written.add(f"{template_id}/latest.json")
        s3.put_object(Bucket=settings.bucket, Key=f"{template_id}/latest.json", Body=source)

    yield put
    for key in written:
        s3.delete_object(Bucket=settings.bucket, Key=key)


@pytest.fixture(scope="module")
def broken(put: Callable[[str, bytes], None]) -> None:
    """Bad templates that a worker meets as it starts."""
    put("broken-tag", TAG)
    put("broken-deep", DEEP)


@pytest.mark.usefixtures("broken", "worker")
def test_a_bad_template_ends_its_own_deliveries_and_holds_up_no_other_of_the_partition(
    carillon: Carillon, until: Until, prepared: dict[str, str], put: Callable[[str, bytes], None]
) -> None:
    put("broken-later", TAG)
    user = f"user-{uuid.uuid4().hex}"
    assert carillon("prefer", "--user", user, "--address", "sms=+4917600004712", env=prepared).exit_code == 0
    ids = {}
    for template in ("broken-tag", "broken-deep", "broken-later", "otp"):
        key = next(key for key in map(str, range(10_000)) if _place(user, f"{template}-{key}") == 0)
        said = carillon(
            *("send", "--user", user, "--template", template, "--class", "otp", "--channel", "sms"),
            *("--param", "code=918273", "--key", f"{template}-{key}"),
            env=prepared,
        )
        assert said.exit_code == 0, said.output
        ids[template] = said.output.split()[0]
    until("Row: status SENT", "trace", ids.pop("otp"), env=prepared)
    for id_ in ids.values():
        assert "bad_template" in until("Row: status FAILED", "trace", id_, env=prepared)


def _place(user: str, key: str) -> int:
    """The partition of the delivery that a request under this key becomes."""
    return partition_of(notification_id("acme", Lane.HIGH, user, key).encode(), 8)
