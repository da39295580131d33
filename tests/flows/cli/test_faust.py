"""Faust's own commands see the flows, without settings and without a broker."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from flows import roster

REPOSITORY = Path(__file__).parents[3]
FAUST = Path(sys.executable).with_name("faust")
FRESH = {"PATH": "/usr/bin:/bin"}
"""The environment of a shell in which nothing of ours is set."""


def app_name(flow: str) -> str:
    """Where Faust finds the app of a flow of the roster."""
    module, _, rest = flow.partition(".")
    module = {"tap": "taps"}.get(module, module)
    return f"flows.{module}:{rest.replace('.', '_')}" if rest else f"flows.{module}"


def faust(folder: Path, app: str, command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    line = [FAUST, "-A", app, command]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("flow", "topics"),
    [
        ("route.high", ["notifications.high", "misplaced.high", "returns.high", "preferences"]),
        ("deliver.push.low", ["push_notifications.low"]),
        ("retry.low", ["retries.low.1s", "retries.low.1h"]),
        ("record", ["statuses"]),
        ("record.preferences", ["preferences"]),
        ("tap.volume", ["statuses"]),
    ],
)
def test_in_a_fresh_shell_in_the_repository_faust_lists_the_agents_of_a_flow(flow: str, topics: list[str]) -> None:
    listed = faust(REPOSITORY, app_name(flow), "agents", FRESH)
    assert (listed.returncode, listed.stderr) == (0, "")
    told = listed.stdout.split()
    assert [topic for topic in topics if f"@{flow}/{topic}" not in told or topic not in told] == []


def test_every_module_with_flows_is_among_those_tried() -> None:
    assert {app_name(flow).partition(":")[0] for flow in roster.FLOWS} == {
        "flows.route",
        "flows.deliver",
        "flows.retry",
        "flows.record",
        "flows.taps",
    }


def test_faust_leaves_nothing_in_the_folder_it_is_called_in(tmp_path: Path) -> None:
    listed = faust(tmp_path, "flows.route:high", "agents", FRESH | {"PYTHONPATH": str(REPOSITORY)})
    assert (listed.returncode, listed.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_faust_does_not_run_a_flow_but_says_what_does(tmp_path: Path) -> None:
    refused = faust(tmp_path, "flows.route:high", "worker", FRESH | {"PYTHONPATH": str(REPOSITORY)})
    assert refused.returncode != 0
    assert "flows are run by `carillon worker FLOW...`" in refused.stdout + refused.stderr


@pytest.mark.parametrize("flow", roster.FLOWS)
def test_every_flow_of_the_roster_has_its_app(flow: str) -> None:
    module, _, name = app_name(flow).partition(":")
    assert getattr(import_module(module), name or "app").conf.id == f"carillon-{flow}"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("route:app", "there are high, low"),
        ("retry:middle", "there are high, low"),
        ("record:high", "there are app, preferences"),
        ("deliver:pigeon_high", "there are push_high, push_low, sms_high,"),
        ("taps:nobody", "there are volume"),
    ],
)
def test_an_app_that_is_not_there_is_refused_with_those_that_are(name: str, there: str) -> None:
    module, _, attribute = name.partition(":")
    with pytest.raises(AttributeError, match=there):
        getattr(import_module(f"flows.{module}"), attribute)
