"""Many processes, a broker and a provider in virtual time, under every fault there is: hundreds of seeds, each the same
whenever it is played. `make simulate` plays more, and `make simulate SEED=n` one alone.
"""

from collections.abc import Iterator

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.play import CHANGES, Played, Players, play
from tests.simulation.storms import STORMS

SEEDS = 300
FOUND_WITHIN = 300
"""Seeds after which a guard that was taken away must have been missed; most are within ten."""
STORMY_SEEDS = 100


@pytest.fixture(scope="module")
def players() -> Iterator[Players]:
    """Processes that play."""
    with Players() as players:
        yield players


@pytest.fixture(scope="module")
def played(players: Players) -> list[Played]:
    """The seeds of this run."""
    return list(players.play(range(SEEDS)))


def test_no_seed_loses_an_input_lets_a_repeat_through_or_ends_a_delivery_twice(played: list[Played]) -> None:
    assert {one.seed: one.faults for one in played if one.faults} == {}


def test_the_seeds_meet_every_trouble_they_are_there_for(played: list[Played]) -> None:
    troubles = {
        "routed",
        "duplicate same_request",
        "held unknown_user",
        "suppressed unknown_user",
        "suppressed opted_out",
        "suppressed address_suppressed",
        "expired past_deadline",
        "dead conflict",
        "dead stage_failed",
        "dead unreadable",
        "dead wrong_lane",
        "dead retries_spent",
        "dead rejected_recipient",
        "retrying outcome_unknown",
        "retrying not_started",
        "unknown outcome_unknown",
        "sent",
        "keyed again",
        "told again",
        "a ghost",
        "gone in the middle",
        "a refused commit",
        "a call cut off",
    }
    assert troubles - {trouble for one in played for trouble in one.met} == set()


def test_a_seed_is_the_same_each_time_it_is_played(played: list[Played]) -> None:
    again = [play(seed) for seed in range(12)]
    assert again == played[:12]
    assert all(one.story for one in again)


@pytest.mark.parametrize("storm", [storm.__name__ for storm in STORMS])
def test_a_storm_is_outlived(storm: str, players: Players) -> None:
    assert [fault for one in players.play(range(STORMY_SEEDS), storm) for fault in one.faults] == []


@pytest.mark.parametrize("mutation", [mutation.__name__ for mutation in MUTATIONS])
def test_a_guard_that_is_taken_away_is_missed(mutation: str, players: Players) -> None:
    """A change that does not fit what it changes any more ends processes by an error of its own, and proves nothing."""
    faults = next((one.faults for one in players.play(range(FOUND_WITHIN), mutation) if one.faults), [])
    assert faults, f"{CHANGES[mutation].__doc__} Nobody noticed."
    assert not [fault for fault in faults if "(TypeError" in fault or "(AttributeError" in fault]
