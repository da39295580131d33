"""Up to when a table is current."""

from flows.engine.state.proof import Proof


def test_a_table_is_current_as_of_the_moment_at_which_its_ends_were_asked_for() -> None:
    proof = Proof([0, 1])
    proof.ends(7.0, {0: 3, 1: 0})
    proof.read(0, 2)
    assert proof.current_at is None
    proof.read(0, 3)
    assert proof.current_at == 7.0


def test_what_is_read_without_a_word_of_the_ends_proves_nothing() -> None:
    proof = Proof([0])
    proof.ends(1.0, {0: 0})
    proof.read(0, 5)
    assert proof.current_at == 1.0


def test_a_table_that_is_written_to_all_the_time_is_current_too() -> None:
    proof = Proof([0])
    for moment in range(10):
        proof.ends(float(moment), {0: 10 * (moment + 1)})
        proof.read(0, 10 * moment + 5)
    assert proof.current_at is not None
    assert proof.current_at >= 7.0
