"""A page drawn once from every result there is."""

from pathlib import Path

import pytest

from tests.report import handmade
from tests.report.drawn import draw


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the page; what runs have left lies in `left`."""
    folder = tmp_path_factory.mktemp("evidence")
    handmade.leave(folder / "left")
    draw(folder / "left", folder)
    return folder


@pytest.fixture(scope="session")
def text(drawn: Path) -> str:
    """The page."""
    return (drawn / "README.md").read_text()
