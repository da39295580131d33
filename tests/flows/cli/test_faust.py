"""Faust's own commands see the flows, without settings and without a broker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import roster
from schemas.vocabulary import Lane

REPOSITORY = Path(__file__).parents[3]
PROVIDER = {
    "CARILLON_TWILIO_ACCOUNT": "AC1",
    "CARILLON_TWILIO_KEY": "SK1",
    "CARILLON_TWILIO_SECRET": "x",
    "CARILLON_TWILIO_FROM": "+15005550006",
}


def faust(
    folder: Path, app: str, command: str, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    # In another folder, so that it shows what it leaves behind.
    line = [sys.executable, "-m", "faust", "-A", app, command]
    return subprocess.run(
        line, cwd=folder, env=path | (settings or {}), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("app", ["flows.route:high", "flows.route:low", "flows.retry:high", "flows.record"])
def test_faust_lists_the_agents_of_a_flow_with_their_topics_and_purpose(app: str, tmp_path: Path) -> None:
    listed = faust(tmp_path, app, "agents")
    assert listed.returncode == 0, listed.stderr
    assert "preferences" in listed.stdout or "retries.high.1s" in listed.stdout
    assert f"{app.removeprefix('flows.').partition(':')[0]}" in listed.stdout
    assert listed.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_delivery_flow_is_seen_once_its_provider_is_configured(tmp_path: Path) -> None:
    assert "sms_notifications.low" in faust(tmp_path, "flows.deliver:sms_low", "agents", PROVIDER).stdout
    refused = faust(tmp_path, "flows.deliver:sms_low", "agents")
    assert refused.returncode != 0
    assert "no provider is configured for sms" in refused.stderr


def test_faust_does_not_run_a_flow_but_says_what_does(tmp_path: Path) -> None:
    refused = faust(tmp_path, "flows.route:high", "worker")
    assert refused.returncode != 0
    assert "flows are run by `carillon worker FLOW...`" in refused.stdout + refused.stderr


def test_every_lane_of_the_roster_has_its_app() -> None:
    from flows import retry, route

    for lane in Lane:
        assert roster.FLOWS[f"route.{lane}"].lane is lane
        assert getattr(route, lane).conf.id == f"carillon-route.{lane}"
        assert getattr(retry, lane).conf.id == f"carillon-retry.{lane}"
    assert not hasattr(route, "middle")
