"""The whole path under load: what it needs before it starts, and what the providers' ledger says afterwards."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import boto3
from processes import Phase
from rig import Rig
from workload import TEMPLATE, TENANT, event, fill, preferences

from flows.clients import PAGE, Rows
from flows.settings import Settings
from flows.templates import Templates
from schemas.keys import notification_id
from schemas.topics import STATUSES

CALLBACK = "https://carillon.example.com/twilio"
"""Where a receipt would go; the sandbox finds our reference in it."""
LATENCY_MS = {"p50": 60, "p99": 150}
_TEMPLATE = {
    "version": 1,
    "channels": {
        "sms": {"body": "Hello {{name}}, your code is {{code}}."},
        "email": {"subject": "Hello {{name}}", "body": "Your code is {{code}}."},
        "push": {"title": "Hello {{name}}", "body": "Your code is {{code}}."},
    },
}


@dataclass(frozen=True, slots=True)
class Calls:
    """What the ledger says of a few phases: when each delivery was due and how many seconds later it was first called;
    calls missing and repeated."""

    by_due: list[tuple[float, float]]
    missing: int
    repeated: int

    @property
    def waits(self) -> list[float]:
        """The waits alone, sorted."""
        return sorted(wait for _, wait in self.by_due)


class Lanes:
    """Tables, templates, users and the sandbox's manners; then the sandbox's ledger."""

    def __init__(self, rig: Rig, users: int) -> None:
        self._rig, self._users = rig, users
        rig.environment["CARILLON_TWILIO_CALLBACK_URL"] = CALLBACK
        settings = Settings.from_environment(rig.environment)
        # boto3 finds its made-up credentials in the environment alone.
        with rig.environ():
            self.rows = Rows(settings)
            self.rows.make_tables()
            templates = Templates(settings)
            templates.make_bucket()
            templates.publish(TEMPLATE, 1, json.dumps(_TEMPLATE).encode())
        self.sandbox("behave", {"provider": "*", "rules": [{"latency_ms": LATENCY_MS}]})
        self.sandbox("behave", {"provider": "oauth", "rules": []})
        fill(rig.brokers, "preferences", preferences(users, rig.ring))

    def sandbox(self, door: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the sandbox's admin door."""
        data = json.dumps(body).encode() if body is not None else None
        address = f"{self._rig.stack.addresses.sandbox}/admin/{door}"
        with urlopen(Request(address, data), timeout=10) as answer:
            return json.load(answer)

    def called(self) -> int:
        """Messages the providers have read so far."""
        total: int = self.sandbox("counts")["ledger_total"]
        return total

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Every message request the providers read."""
        path = self._rig.folder / ".carillon" / "data" / "sandbox" / "ledger.jsonl"
        with path.open() as lines:
            for line in lines:
                yield json.loads(line)

    def drain(self, since: float, statuses: bool = True, limit_s: float = 120) -> float:
        """Wait until nothing is called any more and, if asked, all statuses are in the store; seconds from `since`."""
        last, at = self.called(), time.time()
        deadline = at + limit_s
        while time.time() - at < 2 and time.time() < deadline:
            time.sleep(0.25)
            if (now := self.called()) != last:
                last, at = now, time.time()
        if statuses:
            self._rig.until(self._recorded, limit_s, "the statuses in the store")
            return time.time() - since
        return at - since

    def count_rows(self) -> int:
        """Rows of the store's NotificationLogs."""
        with self._rig.environ():
            dynamo = boto3.client("dynamodb", endpoint_url=self._rig.stack.addresses.dynamodb)
            pages = dynamo.get_paginator("scan").paginate(
                TableName=self.rows.logs, Select="COUNT", ConsistentRead=True, PaginationConfig={"PageSize": PAGE}
            )
            return sum(page["Count"] for page in pages)

    def behind(self) -> int:
        """Statuses that are not in the store yet."""
        return self._rig.end(STATUSES.name) - self._rig.committed("carillon-record", STATUSES.name)

    def _recorded(self) -> bool:
        return self.behind() <= 0

    def calls(self, phases: Sequence[Phase], mix: str) -> Calls:
        """Hold the ledger against the schedule of some phases."""
        due: dict[tuple[str, str], float] = {}
        for phase in phases:
            for number in range(phase.events):
                made = event(number, self._users, phase.name, mix)
                if made.channel is not None:
                    id_ = notification_id(TENANT, made.lane, made.user.decode(), made.key)
                    due[id_, made.channel] = phase.start + number / phase.rate
        first: dict[tuple[str, str], float] = {}
        repeated = 0
        for row in self.ledger():
            id_, _, rest = (row["ref"] or "").partition(".")
            place = (id_, rest.partition(".")[0])
            if place in due:
                repeated += place in first
                first.setdefault(place, row["t"])
        by_due = [(due[place], at - due[place]) for place, at in first.items()]
        return Calls(by_due, len(due) - len(first), repeated)
