"""The introduction to the agents names what there is, and all that is on a notification's path."""

import re
import tomllib
from pathlib import Path

import agents

AGENTS = Path(agents.__file__).parent
NAMED = set(re.findall(r"`(\w+)/?`", agents.__doc__ or ""))


def stages() -> set[str]:
    """The stages, as the contract that keeps them apart has them."""
    project = tomllib.loads((AGENTS.parent / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each["name"] == "Stages do not import stages"]
    return set(re.findall(r"\w+", layers[0]))


def test_every_file_that_the_introduction_names_exists() -> None:
    assert {name for name in NAMED if not (AGENTS / f"{name}.py").exists() and not (AGENTS / name).is_dir()} == set()


def test_the_introduction_names_every_stage_and_what_stages_decide_and_bury_with() -> None:
    assert stages() | {"policy", "bury", "render"} <= NAMED
