"""errors: the tree that is drawn is the tree there is."""

import re

from schemas import errors
from schemas.errors import CarillonError, Malformed, TopicsDiffer, Unreachable
from schemas.vocabulary import Reason


def drawn() -> list[tuple[int, str]]:
    """(depth, name) of each class in the module's drawing."""
    lines = (errors.__doc__ or "").splitlines()
    found = [re.match(r"([│├└─ ]*)([A-Z]\w+)(\s{2,}|$)", line) for line in lines]
    return [(len(line[1]) // 4, line[2]) for line in found if line]


def real(kind: type[Exception], depth: int = 0) -> list[tuple[int, str]]:
    below = [entry for child in kind.__subclasses__() for entry in real(child, depth + 1)]
    return [(depth, kind.__name__), *below] if kind.__module__ == errors.__name__ else []


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    assert drawn() == real(CarillonError)
    assert len(drawn()) == 8


def test_every_error_says_what_its_caller_does_next() -> None:
    for line in (errors.__doc__ or "").splitlines():
        if re.search(r"─ [A-Z]", line):
            assert ":" in line, line


def test_a_server_that_does_not_answer_is_named_with_what_starts_one() -> None:
    assert str(Unreachable("no Kafka")) == "no Kafka. Is it up? `carillon up` starts a local one"


def test_a_malformed_record_says_its_reason() -> None:
    assert str(Malformed(Reason.INVALID)) == "invalid"
    assert str(Malformed(Reason.TOO_LARGE, "5 bytes")) == "too_large: 5 bytes"
    assert Malformed(Reason.INVALID).reason is Reason.INVALID


def test_topics_of_another_partition_count_are_named_by_count_and_only_a_few_of_them() -> None:
    found = {"a": 8, "b": 4, "c": 4, "d": 4, "e": 4, "f": 0}
    assert str(TopicsDiffer.of(found, 8)) == (
        "topics f are missing; topics b, c, d and 1 more have 4 partitions; CARILLON_PARTITIONS says 8: "
        "see `carillon topics plan`"
    )
