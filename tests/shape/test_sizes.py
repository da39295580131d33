"""Small files, small functions, telling names: the hard ceilings; the aim is well below."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("schemas", "tables", "agents", "flows", "deploy")
FILE_LINES = 300
FUNCTION_LINES = 60
BANNED = {"utils", "util", "helpers", "helper", "base", "core", "common", "misc"}


def sources() -> list[Path]:
    found = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
    assert len(found) > 20, "the packages have moved: mend PACKAGES"
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_no_source_file_is_longer_than_300_lines() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in sources()}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{named(path)}:{function.lineno} {function.name}"
        for path in sources()
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    ]
    assert long == []


def test_no_module_or_package_has_a_name_that_says_nothing() -> None:
    packages = [path.parent for path in sources()]
    nameless = {named(path) for path in [*sources(), *packages] if path.stem in BANNED}
    assert nameless == set()


def test_no_package_marker_lies_under_tests() -> None:
    assert [named(path) for path in (REPOSITORY / "tests").rglob("__init__.py")] == []
