from types import SimpleNamespace
from typing import Any

import pytest

from flows.engine.kafka.fetched import Fetched, fetched


def message(headers: Any) -> Any:
    """A message of librdkafka's whose `headers()` is this."""
    when = lambda: (1, 1_790_000_000_000)  # noqa: E731
    return SimpleNamespace(offset=lambda: 7, timestamp=when, key=lambda: b"k", value=lambda: b"v", headers=headers)


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), SystemError()])
def test_a_record_whose_header_names_are_no_utf_8_counts_as_one_without_headers(error: Exception) -> None:
    def headers() -> None:
        raise error

    assert fetched(message(headers), "t", 1) == Fetched("t", 1, 7, 1_790_000_000_000, b"k", b"v", ())


def test_headers_come_as_they_are_whatever_their_values() -> None:
    found = [("origin", None), ("to", b"\xff")]
    assert fetched(message(lambda: found), "t", 1).headers == found


def test_a_record_without_headers_has_none() -> None:
    assert fetched(message(lambda: None), "t", 1).headers == ()
