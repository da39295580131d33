import json
import urllib.error
import urllib.request

import pytest
from prometheus_client import generate_latest

from agents.stage import Outbox
from flows.engine.host.exposition import serve
from flows.engine.meters import Meters
from schemas import metrics


def text(meters: Meters) -> str:
    return generate_latest(meters.registry).decode()


def test_every_metric_of_the_catalogue_is_exposed_under_its_name() -> None:
    exposed = text(Meters())
    assert [metric.name for metric in metrics.METRICS if f"# HELP {metric.name} " not in exposed] == []


def test_counts_gauges_and_histograms_carry_their_labels() -> None:
    meters = Meters()
    meters.count(metrics.BATCHES, ("route.high",), 3)
    meters.set(metrics.LAG, ("route.high", "t"), 7)
    meters.observe(metrics.LATENCY, ("high", "sms", "twilio", "sent"), 12.0)
    exposed = text(meters)
    assert 'engine_batches_total{flow="route.high"} 3.0' in exposed
    assert 'engine_lag_records{flow="route.high",topic="t"} 7.0' in exposed
    assert 'le="20.0",outcome="sent",provider="twilio"} 1.0' in exposed


def test_what_a_stage_counted_is_taken_from_its_outbox() -> None:
    meters, outbox = Meters(), Outbox()
    outbox.count(metrics.MISPLACED, "high")
    outbox.count(metrics.MISPLACED, "high", by=2)
    outbox.observe(metrics.LATENCY, 3.0, "high", "sms", "twilio", "sent")
    meters.absorb(outbox)
    assert 'misplaced_total{lane="high"} 3.0' in text(meters)
    assert 'delivery_latency_ms_sum{channel="sms",lane="high",outcome="sent",provider="twilio"} 3.0' in text(meters)


def test_two_processes_worth_of_meters_do_not_mix() -> None:
    first, second = Meters(), Meters()
    first.count(metrics.MISPLACED, ("high",))
    assert "misplaced_total{" not in text(second)


def test_a_metric_used_as_another_kind_is_refused() -> None:
    with pytest.raises(AssertionError, match="is no gauge"):
        Meters().set(metrics.BATCHES, ("f",), 1)


@pytest.fixture
def wrong() -> dict[str, str]:
    """What is wrong with the process."""
    return {}


@pytest.fixture
def port(wrong: dict[str, str]) -> int:
    """The metrics port of a process."""
    meters = Meters()
    meters.count(metrics.MISPLACED, ("high",))
    return serve("127.0.0.1", 0, meters.registry, dict, lambda: wrong)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status), str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_served_in_prometheus_format(port: int) -> None:
    status, body = get(port, "/metrics")
    assert status == 200
    assert 'misplaced_total{lane="high"} 1.0' in body


def test_a_check_is_200_until_something_is_wrong_and_then_503_naming_it(port: int, wrong: dict[str, str]) -> None:
    assert get(port, "/ready") == (200, '{"ok": true, "wrong": {}}')
    wrong["kafka"] = "has not answered for 12 s"
    status, body = get(port, "/ready")
    assert (status, json.loads(body)["wrong"]) == (503, wrong)
    assert get(port, "/live") == (200, '{"ok": true, "wrong": {}}')


def test_another_path_says_which_there_are(port: int) -> None:
    assert get(port, "/") == (404, "try /metrics, /live or /ready\n")


def test_values_that_producers_choose_are_counted_together_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.engine.meters.MOST_VALUES", 2)
    meters = Meters()
    for tenant in ("a", "b", "c", "a", "d", "c"):
        meters.count(metrics.VOLUME, (tenant, "sms", "sent"))
    meters.count(metrics.VOLUME, ("a", "email", "sent"))
    found = {
        (sample.labels["tenant"], sample.labels["channel"]): sample.value
        for family in meters.registry.collect()
        for sample in family.samples
        if sample.name == metrics.VOLUME.name
    }
    assert found == {("a", "sms"): 2, ("b", "sms"): 1, ("other", "sms"): 3, ("a", "email"): 1}


def test_every_label_that_a_record_may_choose_is_marked() -> None:
    chosen = {"tenant", "user_id", "template_id", "category", "idempotency_key", "template"}
    assert {m.name for m in metrics.METRICS if set(m.labels) & chosen - set(m.open)} == set()
