import re

import pytest
from fault import Fault, discover
from fault_list import ELSEWHERE, NAMES, shown_by
from victims import REPOSITORY

TESTS = [place for places in ELSEWHERE.values() for place in places if "::" in place]


def test_all_48_faults_are_shown_somewhere_or_said_to_come_later() -> None:
    assert sorted(NAMES) == list(range(1, 49))
    assert sorted(shown_by()) == list(range(1, 49))


@pytest.mark.parametrize("place", TESTS)
def test_a_test_that_is_named_is_there(place: str) -> None:
    path, _, name = place.partition("::")
    assert re.search(rf"def {name}\b", (REPOSITORY / path).read_text())


@pytest.mark.parametrize("fault", discover().values(), ids=lambda fault: fault.name)
def test_a_fault_says_what_is_expected_of_it(fault: Fault) -> None:
    assert fault.expected.endswith(".")
    assert fault.numbers
    assert set(fault.numbers) <= set(NAMES)
