"""What runs have left: taken over from .carillon into the tree, and read from there.

A benchmark or a chaos script leaves `.carillon/{bench,chaos}/NAME.json`, which is kept as it is under the same name. A
seed of the chaos runner leaves `.carillon/chaos/seed-N.json`; all that are kept lie in `chaos/seeds.jsonl`, a line
each, their seconds as columns of whole numbers. Of two results of one name the one that `began` later is kept.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = dict[str, Any]
SEEDS = "chaos/seeds.jsonl"
_KINDS = ("bench", "chaos")
_LONG = ("resident_mib", "deaths")
"""What a seed tells by the second or by the process, and no table or picture shows."""
_SIZES = ("events", "users", "runs", "kills", "rate", "seconds", "seed")
"""What runs of some of the peers must have in common to stand in one table."""
_COLUMNS = ("due", "called", "p50_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class Results:
    """All that is kept: single results by "bench/NAME" or "chaos/NAME", and the seeds in their order."""

    single: dict[str, Result]
    seeds: list[Result]

    def get(self, name: str) -> Result | None:
        """A single result, or nothing where it was not measured."""
        return self.single.get(name)

    def peers(self, name: str) -> Result | None:
        """A result with the peers of those added that ran apart: the same sizes, and a name that begins with it."""
        found = [self.single[key] for key in sorted(self.single) if key == name or key.startswith(f"{name}-")]
        if not found:
            return None
        sizes = {size: found[0].get(size) for size in _SIZES}
        peers = found[0]["peers"]
        for one in found[1:]:
            if {size: one.get(size) for size in _SIZES} != sizes:
                continue
            if isinstance(peers, dict):
                peers = one["peers"] | peers
            else:
                known = {row["peer"] for row in peers}
                peers = [*peers, *(row for row in one["peers"] if row["peer"] not in known)]
        return found[0] | {"peers": peers}


def read(kept: Path) -> Results:
    """Everything in a folder of results."""
    single = {f"{kind}/{path.stem}": json.loads(path.read_text()) for kind, path in _singles(kept)}
    lines = (kept / SEEDS).read_text().splitlines() if (kept / SEEDS).exists() else []
    return Results(single, [json.loads(line) for line in lines])


def take_over(left: Path, kept: Path) -> list[str]:
    """Take what is newer in `left` over into `kept`; returns the names of what was taken."""
    before, taken = read(kept), []
    for kind, path in _singles(left):
        name, found = f"{kind}/{path.stem}", slim(json.loads(path.read_text()))
        if _newer(found, before.get(name)):
            _write(kept / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False))
            taken.append(name)
    seeds = {seed["seed"]: seed for seed in before.seeds}
    for path in sorted((left / "chaos").glob("seed-*.json")):
        found = slim(json.loads(path.read_text()))
        if _newer(found, seeds.get(found["seed"])):
            seeds[found["seed"]] = found
            taken.append(f"chaos/{path.stem}")
    if seeds:
        _write(kept / SEEDS, "\n".join(json.dumps(seeds[number], separators=(",", ":")) for number in sorted(seeds)))
    return taken


def slim(result: Result) -> Result:
    """A result without what is not shown, its rows of `seconds` as columns: {"due": [...], ...}."""
    kept = {name: value for name, value in result.items() if name not in _LONG}
    if isinstance(rows := kept.get("seconds"), list):
        kept["seconds"] = {name: [round(row[name]) for row in rows] for name in _COLUMNS}
    return kept


def _singles(folder: Path) -> Iterator[tuple[str, Path]]:
    for kind in _KINDS:
        for path in sorted((folder / kind).glob("*.json")):
            if not path.stem.startswith("seed-"):
                yield kind, path


def _newer(found: Result, before: Result | None) -> bool:
    return before is None or str(found.get("began", "")) > str(before.get("began", ""))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
