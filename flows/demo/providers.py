"""The provider sandbox as the demo sees it: made slow and a little faulty, and asked for its ledger."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

LATENCY: dict[str, Any] = {"latency_ms": {"p50": 60, "p99": 400}}
_PAGE = 20_000


def _fault(rate: float, **then: object) -> dict[str, Any]:
    return {"rate": rate, **then}


_CERTAIN = _fault(0.007, then="status", status=429, headers={"Retry-After": "1"})
_UNCERTAIN = [_fault(0.002, then="status", status=503), _fault(0.001, then="reset_after_read")]


class Sandbox:
    """A running sandbox at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def misbehave(self) -> None:
        """1 % of all calls fail: most surely unsent, some with nobody knowing."""
        self._behave([_CERTAIN, *_UNCERTAIN, LATENCY])

    def behave(self) -> None:
        """No faults, only the time that calls take."""
        self._behave([LATENCY])

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Every message request that was read, in order."""
        since = 0
        while True:
            page = self._ask(f"/admin/ledger?since={since}&limit={_PAGE}")
            yield from page["rows"]
            since = page["next"]
            if since >= page["total"]:
                return

    def _behave(self, rules: list[dict[str, Any]]) -> None:
        self._ask("/admin/behave", {"provider": "*", "rules": rules})

    def _ask(self, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self._address + path, data), timeout=30) as reply:  # noqa: S310
            return json.load(reply)
