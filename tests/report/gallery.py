"""Pictures: one style, one way to draw, the same file for the same figures."""

import os
import statistics
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
os.environ.setdefault("MPLCONFIGDIR", str(REPOSITORY / ".carillon" / "matplotlib"))

import matplotlib as mpl  # noqa: E402  it reads the place of its font cache when it is imported
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BLUE, ORANGE, GREEN, GREY, PINK = "#0072B2", "#D55E00", "#009E73", "#767676", "#CC79A7"
"""Okabe and Ito's, which the colour-blind tell apart."""
OURS, THEIRS = BLUE, GREY
STYLE = {
    "svg.hashsalt": "carillon",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    # White under it all, so that it reads the same on a dark page.
    "figure.facecolor": "white",
}
Draw = Callable[[Figure], None]


class Gallery:
    """A folder of pictures. Those of the last time that are not drawn again are taken down at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hung: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def hang(self, name: str, alt: str, draw: Draw, *, size: tuple[float, float] = (8.0, 3.6)) -> str:
        """Draw a picture; returns the line that shows it on the page."""
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            figure.savefig(self._folder / f"{name}.svg", metadata={"Date": None})
        self._hung.add(name)
        return self.line(name, alt)

    def line(self, name: str, alt: str) -> str:
        """The line that shows a picture."""
        return f"![{alt}]({self._folder.name}/{name}.svg)"

    def leave_empty(self, name: str, alt: str, command: str) -> str:
        """A frame that says what would fill it."""

        def draw(figure: Figure) -> None:
            figure.text(0.5, 0.6, f"{alt}: not measured", ha="center", weight="bold")
            figure.text(0.5, 0.3, f"{command} && make report", ha="center", family="monospace", color=GREY)

        return self.hang(name, f"{alt}: not measured", draw, size=(8.0, 1.2))

    def close(self) -> None:
        """Take down what nobody has hung."""
        for path in self._folder.glob("*.svg"):
            if path.stem not in self._hung:
                path.unlink()


def headline(figure: Figure, text: str) -> None:
    """What the picture says."""
    figure.suptitle(text, x=0.01, ha="left", weight="bold", size=11)


def ranges(axes: Axes, names: list[str], values: list[list[float]], colours: list[str], **label: str) -> None:
    """A row a name from the top: a dot at the median, a line over the range, the median as a figure."""
    for place, (found, colour) in enumerate(zip(values, colours, strict=True)):
        middle = statistics.median(found)
        axes.plot([min(found), max(found)], [place, place], color=colour, linewidth=2.5, alpha=0.45)
        axes.plot([middle], [place], "o", color=colour, **(label if place == 0 else {}))
        axes.annotate(f"{middle:,.3g}" if middle < 1000 else f"{middle:,.0f}", (middle, place), (0, 6),
                      textcoords="offset points", ha="center", color=colour, fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.8)
    axes.grid(visible=False, axis="y")
