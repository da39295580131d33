"""What the providers saw, in figures, and what the workers say of themselves."""

from collections import Counter

import pytest

from flows.demo import ledger
from flows.demo.watch import Figures


def row(ref: str, to: str = "x", t: float = 1.0, *, accepted: bool = True) -> dict[str, object]:
    return {"channel": "sms", "ref": ref, "to_hash": to, "t": t, "accepted": accepted}


def test_two_devices_under_one_reference_are_no_repeat() -> None:
    assert ledger.read([row("n.push.1.1", "one"), row("n.push.1.1", "two")], {}).repeated == 0


def test_one_message_taken_twice_is_a_repeat() -> None:
    assert ledger.read([row("n.sms.1.1"), row("n.sms.1.1")], {}).repeated == 1


def test_a_call_that_was_refused_is_no_repeat_when_it_is_made_again() -> None:
    seen = ledger.read([row("n.sms.1.1", accepted=False), row("n.sms.1.1"), row("n.sms.1.2", accepted=False)], {})
    assert (seen.repeated, seen.again) == (0, 0)
    assert (seen.calls["sms"], seen.accepted["sms"]) == (3, 1)


def test_a_delivery_taken_in_two_attempts_is_counted_as_sent_once_more() -> None:
    seen = ledger.read([row("n.sms.1.1"), row("n.sms.1.2")], {})
    assert (seen.repeated, seen.again) == (0, 1)


def test_waits_are_from_due_to_read_in_milliseconds() -> None:
    seen = ledger.read([row("n.sms.1.1", t=1.25)], {"n.sms.1.1": [(1_000, "otp")]})
    assert seen.waits == {"sms": [250.0], "otp": [250.0]}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    assert ledger.percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_nothing_has_no_percentile() -> None:
    assert ledger.percentile([], 0.5) is None
    assert Figures().percentile("sms", 0.5) is None


def test_a_histogram_is_read_within_its_bucket_and_by_the_lower_bound_in_the_last() -> None:
    counts = {10.0: 0, 20.0: 100, 10_000.0: 100, 60_000.0: 104, float("inf"): 105}
    figures = Figures(waits=Counter({("sms", bound): count for bound, count in counts.items()}))
    assert figures.percentile("sms", 0.5) == pytest.approx(15.25)
    assert figures.percentile("sms", 0.99) == 10_000.0
