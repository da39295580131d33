"""metrics: every name once, in Prometheus' form, with a unit, and counted somewhere."""

import re
from pathlib import Path

import pytest

from schemas import metrics
from schemas.metrics import METRICS, Kind, Metric

REPOSITORY = Path(__file__).parents[2]
CODE = "\n".join(
    path.read_text() for package in ("agents", "flows") for path in sorted((REPOSITORY / package).rglob("*.py"))
)
NAMES = {id(value): name for name, value in vars(metrics).items() if isinstance(value, Metric)}


def test_no_two_metrics_share_a_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(NAMES)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_prometheus_form(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help[0].isupper()
    assert not metric.help.endswith(".")
    assert len(set(metric.labels)) == len(metric.labels)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_what_a_metric_counts_is_the_same_in_its_name_and_its_help(metric: Metric) -> None:
    for unit in re.findall(r"_(records|entries)(?:_total)?$", metric.name):
        assert re.search(unit, metric.help, re.IGNORECASE)


def test_what_is_left_to_restore_is_told_in_records_and_that_one_holds_a_batch() -> None:
    assert metrics.RESTORE_LEFT.name.endswith("_records")
    assert "a whole batch" in metrics.RESTORE_LEFT.help


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_used_somewhere(metric: Metric) -> None:
    assert re.search(rf"metrics\.{NAMES[id(metric)]}\b", CODE)


def test_no_label_can_hold_a_person() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    told = "lane channel provider outcome decision reason end flow cause topic table tenant dependency"
    assert labels <= set(told.split())
