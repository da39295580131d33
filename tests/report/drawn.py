"""A page drawn from results made by hand, and what a test reads on it."""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from tests.report import handmade, page
from tests.report.gallery import Draw, Gallery
from tests.report.results import Result, Results, read, take_over

FAULTS = " 1 a router is killed\n"


class Frames(Gallery):
    """A gallery that shows no picture, as most tests look at none: to draw them all takes seconds."""

    def hang(self, name: str, alt: str, draw: Draw, *, size: tuple[float, float] = (0.0, 0.0)) -> str:
        """The line that shows a picture."""
        return self.line(name, alt)


def draw(left: Path, folder: Path) -> None:
    """Take over, and draw the page with its pictures."""
    page.write(_taken(left, folder), folder, FAULTS)


def told(left: Path, folder: Path) -> str:
    """Take over, and give the page."""
    return page.text(_taken(left, folder), Frames(folder / page.PICTURES), FAULTS)


def _taken(left: Path, folder: Path) -> Results:
    take_over(left, folder / "results")
    return read(folder / "results")


def told_in_full(folder: Path, other: Mapping[str, Result]) -> str:
    """The page of every result there is, with others in place of some or beside them, by name."""
    handmade.leave(folder / "left")
    for name, result in other.items():
        handmade.put(folder / "left", name, result)
    return told(folder / "left", folder)


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of all tables that begin with a cell."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in found if row[0] == first]


def part(text: str, head: str) -> str:
    """What stands under a heading, up to the next."""
    return re.split(r"\n#+ ", text.split(f"# {head}\n", 1)[1], maxsplit=1)[0]


def pictures(text: str) -> list[str]:
    """The files that a page shows."""
    return re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)


def words(picture: Path) -> str:
    """The letters in a picture."""
    return " ".join(ElementTree.parse(picture).getroot().itertext())
