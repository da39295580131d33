"""What a fault excuses: its own time and a while after it, and no other."""

import pytest
from hurts import Hurt, Hurts


def test_without_faults_all_time_counts() -> None:
    assert Hurts([]).healthy_s(3.0, 5.0) == 2.0


@pytest.mark.parametrize(
    ("since", "until", "healthy_s"),
    [
        (0.0, 100.0, 80.0),
        (0.0, 45.0, 40.0),
        (52.0, 53.0, 0.0),
        (50.0, 100.0, 40.0),
        (95.0, 100.0, 5.0),
        (0.0, 300.0, 270.0),
    ],
)
def test_the_time_of_a_fault_and_of_recovery_from_it_does_not_count_and_none_twice(
    since: float, until: float, healthy_s: float
) -> None:
    """On from 40 to 50, recovered at 60; once more at 200."""
    hurts = Hurts([Hurt(40.0, "hang", None, 45.0), Hurt(45.0, "kill", "high", 50.0), Hurt(200.0, "kill")])
    assert hurts.healthy_s(since, until) == healthy_s


def test_time_in_which_workers_were_away_in_order_does_not_count_and_excuses_nothing_else() -> None:
    hurts = Hurts([Hurt(40.0, "away", None, 45.0, in_order=True)])
    assert hurts.healthy_s(0.0, 100.0) == 85.0
    assert hurts.on(0.0, 100.0) is None


def test_the_fault_of_a_worker_is_named_before_one_of_what_all_need() -> None:
    hurts = Hurts([Hurt(10.0, "hang", None, 30.0), Hurt(20.0, "kill", "high")])
    assert [found.name if (found := hurts.on(at, at + 1.0)) else None for at in (5.0, 12.0, 19.5, 40.0)] == [
        None, "hang", "kill", None,
    ]  # fmt: skip
