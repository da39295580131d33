"""A bucket in memory that misbehaves as it is told, and what tests ask of the templates in front of a bucket."""

import json
import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from agents.render import Template
from flows.templates import Templates
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


class Bucket:
    """A bucket in memory: `held` keys answer once they are let go, `raises` is what every other request raises."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.held: dict[str, threading.Event] = {}
        self.raises: Exception | None = None
        self.asked: list[str] = []

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.asked.append(Key)
        if Key in self.held:
            assert self.held[Key].wait(30)
        if self.raises is not None:
            raise self.raises
        return {"Body": BytesIO(self.objects.get(Key, body(1)))}

    def get_paginator(self, name: str) -> "Bucket":
        return self

    def paginate(self, Bucket: str) -> Iterator[dict[str, Any]]:
        if self.raises is not None:
            raise self.raises
        yield {"Contents": [{"Key": key} for key in self.objects]}


def fetched(templates: Templates, template_id: str, version: int | None = None) -> Template | Reason | None:
    """What `peek` says once nothing is being fetched."""
    templates.peek(template_id, version)
    eventually(lambda: not templates._fetching)
    return templates.peek(template_id, version)


def version_of(found: Template | Reason | None) -> int:
    assert isinstance(found, Template), found
    return found.version
