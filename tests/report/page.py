"""The page: its head, the parts, and which runs it was drawn from."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.report import audit_section, fault_section, lanes_section, peer_section, pipeline_section
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
    (folder / "README.md").write_text(text(results, gallery, fault_list))
    gallery.close()


def text(results: Results, gallery: Gallery, fault_list: str) -> str:
    """The page; its pictures go to the gallery."""
    parts = [
        _HEAD,
        *fault_section.section(results, gallery),
        _faults(fault_list),
        *audit_section.section(results),
        *peer_section.section(results, gallery),
        *pipeline_section.section(results, gallery),
        *lanes_section.section(results),
        "## The runs",
        _commits(results),
        _runs(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _faults(told: str) -> str:
    return f"<details><summary>The 48 faults, and what shows each</summary>\n\n```\n{told.rstrip()}\n```\n</details>"


def _commits(results: Results) -> str:
    """That the results are of several commits, if they are; that of the run which began last comes first."""
    every = sorted([*results.single.values(), *results.seeds], key=lambda run: str(run.get("began")), reverse=True)
    commits = list(dict.fromkeys(f"`{run['commit']}`" for run in every if "commit" in run))
    return f"Run on different commits, the newest first: {', '.join(commits)}." if len(commits) > 1 else ""


def _runs(results: Results) -> str:
    """Where, when and how each result was made; results that share a machine and versions stand together."""
    every = dict(results.single)
    if results.seeds:
        every["chaos/seeds"] = _together(results.seeds)
    if not every:
        return "None."
    rows = [
        (f"`{name}`", *(f"`{run.get(field, '?')}`" for field in ("command", "commit")), run.get("began"), *_costs(run))
        for name, run in sorted(every.items())
    ]
    titles = ("result", "command", "commit", "began", "took, s", "load before, after", "pace before, after, ms")
    told = table(titles, rows, words=4)
    abouts: dict[str, list[str]] = {}
    for name, run in sorted(every.items()):
        abouts.setdefault(_about(run), []).append(f"`{name}`")
    pace = "Pace: CPU milliseconds of a fixed piece of work in Python, right before a run and after it."
    return f"{told}\n\n{pace}\n\n" + "\n".join(f"* {', '.join(names)}: {about}" for about, names in abouts.items())


def _together(seeds: Sequence[Result]) -> Result:
    """All seeds as one run: from the first on, their times summed, every command and commit that differs."""
    first, *_, last = sorted([*seeds, *seeds], key=lambda seed: str(seed.get("began")))
    told = {
        field: "` `".join(dict.fromkeys(_without_number(seed.get(field, "?")) for seed in seeds))
        for field in ("command", "commit")
    }
    times = [seed["took_s"] for seed in seeds if "took_s" in seed]
    ended = {name: last.get(name) for name in ("load_after", "pace_ms_after")}
    return first | told | ended | {"took_s": sum(times)}


def _without_number(command: str) -> str:
    return re.sub(r" (SEED|FIRST)=\d+", "", command)


def _costs(run: Result) -> tuple[object, str, str]:
    return run.get("took_s"), _before_and_after(run, "load"), _before_and_after(run, "pace_ms")


def _before_and_after(run: Result, name: str) -> str:
    return f"{number(run.get(f'{name}_before'))}, {number(run.get(f'{name}_after'))}"


def _about(run: Result) -> str:
    machine, versions = run.get("machine"), run.get("versions")
    if machine is None or versions is None:
        return "machine and versions not told"
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, Linux {machine['kernel']}"
    return f"{where}; {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}"
