"""The 48 faults that the engine is to survive, and what shows for each that it does.

    python tests/chaos/fault_list.py

prints them with the files of `faults/` that strike them. What is no thing to strike under load is shown elsewhere:
ELSEWHERE names tests by their place, and says "load" of what `load.py` sends all the time.
"""

import sys
from collections import defaultdict

from fault import discover

NAMES = dict(
    enumerate(
        (
            "a router is killed",
            "a delivery worker is killed in the middle of calls",
            "SIGTERM with slow calls under way",
            "an exception in an agent",
            "a slow record with fast ones behind it",
            "a worker stands still and goes on",
            "all workers are restarted, one by one",
            "rebalance storm",
            "a crash between dedup entry and forward",
            "a crash between forward and commit",
            "a blocked event loop",
            "memory: ten times the load",
            "the broker is killed and restarted",
            "three brokers: the leader killed, then two of three",
            "the broker hangs",
            "a slow link to the broker that breaks now and then",
            "worker and broker parted in one direction",
            "the broker's disk is full",
            "offsets out of range, a topic cut short",
            "a group's offsets are lost",
            "compaction during a recovery",
            "a cold start with large tables",
            "a local store that is corrupt, gone, or has no room",
            "a record that is too large",
            "poison",
            "schemas that change",
            "a hot partition or key",
            "repeats, disorder, replays",
            "the partition count is raised",
            "Redis is killed and comes back empty",
            "a failover of Redis loses its last writes",
            "Redis hangs",
            "Redis is full",
            "the limits' counters are lost",
            "DynamoDB throttles, takes a part, fails",
            "statuses late, twice, out of order",
            "DynamoDB is down",
            "a provider is out",
            "a provider throttles",
            "a provider hangs",
            "a provider drips",
            "a provider babbles",
            "connections to a provider are reset",
            "TLS, DNS, HTTP/2 of a provider",
            "a herd when a provider recovers",
            "refusals for good",
            "the clock jumps",
            "no files, no disk for logs, no templates",
        ),
        start=1,
    )
)

_REDIS = "later: nothing calls Redis yet"
ELSEWHERE: dict[int, tuple[str, ...]] = {
    9: ("tests/flows/engine/test_traps.py::test_a_crash_between_the_changelog_and_the_forward_loses_nothing",),
    11: ("tests/flows/engine/host/test_watchdog.py::test_a_stuck_loop_ends_the_process",),
    14: ("make chaos-brokers (tests/chaos/brokers.py)",),
    19: (
        "tests/flows/engine/state/test_restore.py::test_a_position_below_the_start_of_the_log_begins_at_the_earliest",
        "tests/flows/engine/state/test_restore.py::test_a_log_that_ends_before_the_stores_offset_is_refused",
    ),
    22: ("make bench-route (tests/bench/route.py) states the time from start to ready with 475,000 entries",),
    24: (
        "load: requests of 600 kB, opt-outs of 640 kB, sealed addresses of 800 kB",
        "tests/agents/test_bury.py::test_a_body_too_large_goes_by_its_position",
        "tests/flows/engine/kafka/test_line_ends.py::test_a_record_larger_than_the_broker_takes_ends_the_process",
        "tests/agents/test_admit.py::test_the_largest_notification_still_goes_round_when_sealing_has_made_it_larger",
    ),
    25: (
        "load: bad JSON, bad UTF-8, no value, missing fields, unknown channels, and a hundredth of hostile.py",
        "make fuzz (tests/fuzz): records, headers, keys, preferences and templates through every stage in memory",
        "tests/contracts/test_stages.py::test_no_record_is_so_broken_that_nothing_becomes_of_it",
        "tests/agents/test_admit.py::test_poison_is_buried_with_its_reason_and_stops_nobody",
        "later: a limit on how much may be buried",
    ),
    26: (
        "load: a newer schema is buried",
        "tests/agents/test_admit.py::test_unknown_fields_are_no_poison",
        "later: workers of two versions",
    ),
    28: ("load: 5 % repeats, conflicts, records in partitions of others",),
    29: (
        "tests/flows/engine/test_faults.py::test_a_changed_partition_count_is_refused_at_the_start",
        "tests/flows/test_cluster.py::test_a_changed_partition_count_is_refused_and_then_nothing_at_all_is_applied",
    ),
    **dict.fromkeys(range(30, 35), (_REDIS,)),
    36: ("tests/tables/test_progress.py::test_any_order_and_any_repetition_give_the_same_row",),
    44: (
        "tests/agents/test_http_client.py::test_over_tls_a_connection_is_kept_as_well_and_the_certificate_is_checked",
        "tests/agents/test_resolver.py::test_192_first_calls_to_a_slow_resolver_make_one_look_up_and_all_go_through",
        "tests/agents/test_http_client.py::test_a_name_that_does_not_resolve_means_that_nothing_left",
        "later: HTTP/2, which no provider of today is called by",
    ),
    45: ("later: there is no breaker yet that could let a herd through",),
    48: ("not here: a full disk under the logs, which are a worker's standard error, for its supervisor to keep",),
}


def shown_by() -> dict[int, list[str]]:
    """What shows each fault: files of `faults/`, then what is elsewhere."""
    found: dict[int, list[str]] = defaultdict(list)
    for name, fault in discover().items():
        for number in fault.numbers:
            found[number].append(f"faults/{name}.py")
    for number, places in ELSEWHERE.items():
        found[number] += places
    return dict(found)


if __name__ == "__main__":
    for number, places in sorted(shown_by().items()):
        sys.stdout.write(f"{number:2} {NAMES[number]}\n" + "".join(f"     {place}\n" for place in places))
