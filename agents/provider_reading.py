"""How a reply is read where the vendor's own code table is silent, and how long it asks us to wait."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite

from agents.provider import Fault, Kind, Reply, Result, Ruling

LONGEST_WAIT_S = 86_400.0
"""No provider is obeyed for longer than a day."""

_NOT_AUTHORISED = Ruling(Kind.MISCONFIGURED, "not_authorised")
_PASSED_ON = Ruling(Kind.AMBIGUOUS, "timed_out_at_provider")  # written by a proxy that may have passed the request on
_UNEXPECTED = Ruling(Kind.AMBIGUOUS, "unexpected_status")
_BY_STATUS = {
    401: _NOT_AUTHORISED,
    402: _NOT_AUTHORISED,
    403: _NOT_AUTHORISED,
    407: _NOT_AUTHORISED,
    408: _PASSED_ON,
    429: Ruling(Kind.THROTTLED, "throttled"),
    499: _PASSED_ON,
}
_BY_HUNDRED = {
    2: Ruling(Kind.ACCEPTED, "accepted"),
    4: Ruling(Kind.REJECTED_REQUEST, "request_refused"),
    5: Ruling(Kind.AMBIGUOUS, "provider_error"),
}
_WAITING = frozenset({Kind.THROTTLED, Kind.AMBIGUOUS, Kind.UNAVAILABLE})


def by_table(provider: str, codes: Mapping[str, Ruling], code: str, reply: Reply, message_id: str = "") -> Result:
    """What `codes` says of the provider's own code, or else what the HTTP status says.

    The table is asked below 500 only: after a 2xx nothing in the body takes the acceptance back, and a 5xx says
    nothing certain whatever its body claims.
    """
    ruling = by_status(reply.status)
    if ruling.kind not in (Kind.ACCEPTED, Kind.AMBIGUOUS):
        ruling = codes.get(code, ruling)
    return Result(
        ruling.kind,
        provider,
        ruling.reason,
        code,
        retry_after_s(reply) if ruling.kind in _WAITING else None,
        message_id if ruling.kind is Kind.ACCEPTED else "",
        ruling.suppress,
        ruling.destination,
    )


def by_status(status: int) -> Ruling:
    """The meaning of a bare HTTP status. No provider deduplicates, so what is not known to be unsent may be sent."""
    return _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, _UNEXPECTED)


def by_fault(provider: str, fault: Fault) -> Result:
    """No answer: certainly unsent if no byte left us, else perhaps sent."""
    return Result(Kind.UNAVAILABLE if fault.nothing_left else Kind.AMBIGUOUS, provider, fault.what)


def retry_after_s(reply: Reply) -> float | None:
    """Retry-After in seconds, given as a number or as an HTTP date (RFC 9110, 10.2.3); None if absent or unreadable."""
    text = reply.headers.get("retry-after", "")
    try:
        return bounded_s(float(text))
    except ValueError:
        pass
    try:
        return bounded_s(parsedate_to_datetime(text).timestamp() - reply.at_s)
    except (ValueError, OverflowError):
        return None


def bounded_s(wait_s: float) -> float | None:
    """A wait between 0 and a day; None for what is no number."""
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if isfinite(wait_s) else None
