import base64

import pytest

from flows import roster, taps
from flows.picture import _Nothing
from flows.settings import Settings
from schemas import metrics
from schemas.channels import CHANNELS
from schemas.errors import Misconfigured
from schemas.vocabulary import Lane

KEY = base64.b64encode(bytes(32)).decode()
SETTINGS = Settings(keys=f"1:{KEY}", index_key=KEY)


def test_each_lane_has_its_route_its_retries_and_a_delivery_for_every_channel() -> None:
    for lane in Lane:
        deliveries = [f"deliver.{channel}.{lane}" for channel in CHANNELS]
        assert roster.of_lane(lane) == [f"route.{lane}", *deliveries, f"retry.{lane}"]


def test_the_flows_of_no_lane_are_record_and_the_taps() -> None:
    assert roster.of_lane(None) == ["record", "record.preferences", *(f"tap.{tap}" for tap in taps.TAPS)]
    assert sorted(name for lane in (*Lane, None) for name in roster.of_lane(lane)) == sorted(roster.FLOWS)


def test_no_flow_reads_the_topics_of_another_lane() -> None:
    for name, entry in roster.FLOWS.items():
        if entry.lane and not name.startswith("deliver."):
            other = next(lane for lane in Lane if lane is not entry.lane)
            [flow] = roster.build([name], SETTINGS)
            assert not [topic.name for topic in flow.stages if f".{other}" in topic.name]
            assert not [topic.name for topic in flow.writes if f".{other}" in topic.name]


def test_a_flow_is_built_under_its_name_and_group() -> None:
    route, record = roster.build(["route.high", "record"], SETTINGS)
    assert (route.name, route.lane, route.group) == ("route.high", Lane.HIGH, "carillon-route.high")
    assert (record.name, record.lane) == ("record", None)


def test_the_gauge_of_what_is_under_way_outside_tells_of_every_flow_that_has_any() -> None:
    means = _Nothing()
    built = [entry.build(means) for entry in roster.FLOWS.values()]
    kinds = {flow.name.partition(".")[0] for flow in built if flow.outside is not None}
    assert kinds == {"deliver", "retry", "record"}
    assert {kind for kind in kinds if kind not in metrics.IN_FLIGHT.help} == set()


def test_every_topic_a_flow_reads_writes_or_restores_from_is_in_the_catalogue() -> None:
    known = {topic.name for topic in roster.topics()}
    names = [name for name in roster.FLOWS if not name.startswith("deliver.")]
    for flow in roster.build(names, SETTINGS):
        used = {topic.name for topic in (*flow.stages, *flow.writes)}
        used |= {table.source.name for table in flow.tables if table.source}
        assert used - known == set()


def test_no_topic_is_in_the_catalogue_twice() -> None:
    names = [topic.name for topic in roster.topics()]
    assert len(names) == len(set(names))


def test_a_name_that_is_no_flow_is_refused_with_those_there_are() -> None:
    with pytest.raises(Misconfigured, match="no flow is called reroute: there are route.high, "):
        roster.build(["route.high", "reroute"], SETTINGS)


def test_a_channel_without_a_provider_is_refused_by_name() -> None:
    means = roster.Means(SETTINGS, environment={})
    with pytest.raises(Misconfigured, match="no provider is configured for sms"):
        means.provider("sms")


def test_templates_are_cached_once_a_process() -> None:
    means = roster.Means(SETTINGS, environment={})
    assert means.templates is means.templates


def test_flows_are_not_built_without_keys() -> None:
    with pytest.raises(Misconfigured, match="CARILLON_KEYS"):
        roster.build(["record"], Settings())
