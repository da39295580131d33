"""How a consumer outside any group is configured."""

from typing import Any


def ungrouped(brokers: str) -> dict[str, Any]:
    """The configuration of a consumer that is told what to read, and commits nothing."""
    return {
        "bootstrap.servers": brokers,
        "group.id": "carillon-restore",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 200_000,
        "check.crcs": True,
        "log_level": 3,
    }
