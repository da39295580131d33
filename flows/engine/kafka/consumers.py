"""How a consumer outside any group is configured. librdkafka itself writes nothing: its lines are no JSON, and come by
the hundred a second while a broker is away."""

import logging
from typing import Any

from confluent_kafka import KafkaError

log = logging.getLogger("carillon.engine")


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
        "log_level": 0,
    }


def logged(brokers: str) -> dict[str, Any]:
    """The same for a consumer of a worker, whose log tells what errors its client meets."""
    return ungrouped(brokers) | {"error_cb": _tell}


def _tell(error: KafkaError) -> None:
    log.warning("kafka_client_error", extra={"code": error.name(), "why": error.str(), "setting": "CARILLON_KAFKA"})
