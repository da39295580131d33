from collections import Counter
from itertools import pairwise

from fault import Fault, discover
from schedule import FIRST_S, REST_S, plan

FAULTS = discover()


def names(seed: int, over_s: float = 300.0, faults: dict[str, Fault] = FAULTS) -> list[tuple[str, ...]]:
    return [tuple(fault.name for fault in strike.faults) for strike in plan(seed, over_s, faults)]


def test_a_seed_plays_the_same_again_and_another_one_does_not() -> None:
    assert str(plan(7, 300.0, FAULTS)) == str(plan(7, 300.0, FAULTS))
    assert names(7) != names(8)


def test_every_fault_comes_once_before_one_comes_twice() -> None:
    firsts = [found[0] for found in names(1, 3600.0)]
    assert set(Counter(firsts[: len(FAULTS)]).values()) == {1}


def test_a_pair_is_of_two_kinds() -> None:
    strikes = plan(1, 3600.0, FAULTS)
    pairs = [strike.faults for strike in strikes if len(strike.faults) == 2]
    assert 0.1 * len(strikes) < len(pairs) < 0.5 * len(strikes)
    assert all(first.of != second.of for first, second in pairs)


def test_faults_come_one_after_the_other_and_leave_a_rest_at_the_end() -> None:
    strikes = plan(3, 120.0, FAULTS)
    assert strikes[0].at_s == FIRST_S
    assert all(first.at_s + first.lasts_s < second.at_s for first, second in pairwise(strikes))
    assert strikes[-1].at_s + strikes[-1].lasts_s <= 120.0 - REST_S[0]


def test_a_fault_that_lasts_longer_than_the_load_is_left_out() -> None:
    assert all("stuck_loop" not in found for seed in range(30) for found in names(seed, 40.0))
