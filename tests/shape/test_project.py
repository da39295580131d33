"""pyproject.toml speaks of nothing that is not there."""

import re
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["mypy"]["files"]
FILES = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*") if path.is_file()]


def test_every_pattern_of_the_package_data_matches_a_file() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    assert [pattern for pattern in patterns if not any(path.match(pattern) for path in FILES)] == []


def test_every_package_that_types_make_an_exception_for_is_imported() -> None:
    code = "\n".join(path.read_text() for path in FILES if path.suffix == ".py")
    excepted = [name.removesuffix(".*") for each in PROJECT["tool"]["mypy"]["overrides"] for name in _modules(each)]
    assert [name for name in excepted if not re.search(rf"^\s*(?:import|from) {name}\b", code, re.MULTILINE)] == []


def _modules(override: dict[str, Any]) -> list[str]:
    named = override["module"]
    return [named] if isinstance(named, str) else list(named)
