"""The page: its head, the parts, and which runs it was drawn from."""

from collections.abc import Iterable
from pathlib import Path

from tests.report import audit_section, fault_section, peer_section, pipeline_section
from tests.report.gallery import Gallery
from tests.report.markdown import number, table
from tests.report.results import Result, Results

PICTURES = "pictures"
_HEAD = """\
# Evidence

Drawn by `make report` from the files in [results](results), which the runs named at the end have left; no figure on
this page is written by hand, and the same results draw the same page. What was not run yet says so in its place. What
was not tested at all is said in the [README](../../README.md#evidence)."""


def write(results: Results, folder: Path, fault_list: str) -> None:
    """Draw the page and its pictures into `folder`. `fault_list` tells of each of the 48 faults what shows it."""
    gallery = Gallery(folder / PICTURES)
    parts = [
        _HEAD,
        *fault_section.section(results, gallery),
        _faults(fault_list),
        *audit_section.section(results),
        *peer_section.section(results, gallery),
        *pipeline_section.section(results, gallery),
        "## The runs",
        _runs(results),
    ]
    (folder / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    gallery.close()


def _faults(told: str) -> str:
    return f"<details><summary>The 48 faults, and what shows each</summary>\n\n```\n{told.rstrip()}\n```\n</details>"


def _runs(results: Results) -> str:
    """Where, when and how each result was made. Runs on the same machine with the same versions stand together."""
    every = dict(results.single)
    if results.seeds:
        every["chaos/seeds"] = _together(results.seeds)
    if not every:
        return "None."
    rows = [
        (f"`{name}`", f"`{run.get('command', '?')}`", run.get("began", "?"), run.get("took_s"), _load(run))
        for name, run in sorted(every.items())
    ]
    told = table(("result", "command", "began", "took, s", "load before, after"), rows, words=3)
    abouts: dict[str, list[str]] = {}
    for name, run in sorted(every.items()):
        abouts.setdefault(_about(run), []).append(f"`{name}`")
    return "\n\n".join([told, "\n".join(f"* {', '.join(names)}: {about}" for about, names in abouts.items())])


def _together(seeds: Iterable[Result]) -> Result:
    """All seeds as one run: its time the sum of theirs."""
    found = list(seeds)
    first, last = found[0], found[-1]
    commands = list(dict.fromkeys(str(seed.get("command", "?")) for seed in found))
    times = [seed["took_s"] for seed in found if "took_s" in seed]
    return first | {
        "command": commands[0] + (f" and {len(commands) - 1} more" if len(commands) > 1 else ""),
        "took_s": sum(times) if times else None,
        "load_after": last.get("load_after"),
    }


def _load(run: Result) -> str:
    return f"{number(run.get('load_before'))}, {number(run.get('load_after'))}"


def _about(run: Result) -> str:
    machine, versions = run.get("machine"), run.get("versions")
    if machine is None or versions is None:
        return "machine and versions not told"
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, Linux {machine['kernel']}"
    return f"{where}; {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}"
