import os
from pathlib import Path

import pytest

from deploy.local.lock import hold


def test_a_file_is_held_by_one_at_a_time_and_free_again_once_that_one_closes_it(tmp_path: Path) -> None:
    first = hold(tmp_path / "lock")
    assert first is not None
    assert hold(tmp_path / "lock") is None
    os.close(first)
    again = hold(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_a_try_in_vain_leaves_no_descriptor_open(tmp_path: Path) -> None:
    first = hold(tmp_path / "lock")
    assert first is not None
    free = next_free(first)
    hold(tmp_path / "lock")
    assert next_free(first) == free
    os.close(first)


def next_free(descriptor: int) -> int:
    found = os.dup(descriptor)
    os.close(found)
    return found


def test_a_file_that_cannot_be_opened_is_an_error_and_not_held_by_another(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hold(tmp_path / "nowhere" / "lock")
