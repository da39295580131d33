"""Every metric: its name, kind, labels and meaning. `/metrics` serves these; nothing else spells a metric name."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric moves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric; `buckets` are for histograms, in the unit of the name. Producers choose the values of `open` labels:
    a process shows so many of them, and counts the rest together."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    open: tuple[str, ...] = ()


_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 6e4)

SENT = Metric(
    "notification_sent_total",
    Kind.COUNTER,
    "Provider calls by what they came to",
    ("lane", "channel", "provider", "outcome"),
)
LATENCY = Metric(
    "delivery_latency_ms",
    Kind.HISTOGRAM,
    "From due to the start of the provider call",
    ("lane", "channel", "provider", "outcome"),
    _MS,
)
DECISIONS = Metric(
    "route_decisions_total", Kind.COUNTER, "Decisions of route by reason", ("lane", "decision", "reason")
)
ENDS = Metric("delivery_ends_total", Kind.COUNTER, "Deliveries by how they ended", ("lane", "channel", "end", "reason"))
VOLUME = Metric(
    "tap_volume_total",
    Kind.COUNTER,
    "Deliveries that ended, by tenant; `other` is those of the tenants beyond the first thousand",
    ("tenant", "channel", "end"),
    open=("tenant",),
)
MISPLACED = Metric("misplaced_total", Kind.COUNTER, "Records keyed again into their user's partition", ("lane",))
REPEATS = Metric("delivery_repeats_total", Kind.COUNTER, "Delivery records dropped as repeats", ("lane", "channel"))
BURIED = Metric("dead_letters_total", Kind.COUNTER, "Records buried by cause", ("flow", "cause"))
UNDECRYPTABLE = Metric(
    "undecryptable_total",
    Kind.COUNTER,
    "Records that wait, again and again until their deadline, since no key of this process opens them: alarm on any",
    ("flow",),
)
RECORDS = Metric("engine_records_total", Kind.COUNTER, "Records taken by a flow", ("flow", "topic"))
BATCHES = Metric("engine_batches_total", Kind.COUNTER, "Batches run by a flow", ("flow",))
FETCHES = Metric("engine_fetches_total", Kind.COUNTER, "Fetches that brought records", ("flow",))
PRODUCED = Metric("engine_produced_total", Kind.COUNTER, "Records produced by a flow", ("flow",))
CULPRITS = Metric("engine_culprits_total", Kind.COUNTER, "Records buried because a stage raised on them", ("flow",))
OVERSIZE = Metric(
    "engine_oversize_total",
    Kind.COUNTER,
    "Records and results of calls that led to a record no broker takes, and ended as a dead letter instead",
    ("flow",),
)
LAG = Metric("engine_lag_records", Kind.GAUGE, "Records between the log's end and the frontier", ("flow", "topic"))
FRONTIER_AGE = Metric("engine_frontier_age_seconds", Kind.GAUGE, "Age of the oldest batch that is not done", ("flow",))
UNHEARD = Metric(
    "engine_group_unheard_seconds",
    Kind.GAUGE,
    "Since its group last answered a flow that holds partitions; before the session ends, calls and records wait",
    ("flow",),
)
TABLE_ENTRIES = Metric("engine_table_entries", Kind.GAUGE, "Estimated entries of a table", ("flow", "table"))
RESTORED = Metric("engine_restored_entries_total", Kind.COUNTER, "Entries restored from a changelog", ("flow", "table"))
RESTORE_LEFT = Metric(
    "engine_restore_left_records",
    Kind.GAUGE,
    "Records of changelogs and sources still to restore; one of a changelog holds the entries of a whole batch",
    ("flow",),
)
STALENESS = Metric(
    "replicated_table_staleness_seconds",
    Kind.GAUGE,
    "Since the moment up to which Kafka has proved a replicated table current",
    ("table",),
)
SILENT = Metric(
    "dependency_silent_seconds",
    Kind.GAUGE,
    "Since a server last answered, while it owes an answer; a process whose servers are silent is not ready",
    ("dependency",),
)
ROWS_SET_ASIDE = Metric(
    "store_rows_set_aside_total",
    Kind.COUNTER,
    "Rows that the store refuses for good; the log event row_set_aside names each",
    ("table",),
)
IN_FLIGHT = Metric(
    "deliver_calls_in_flight",
    Kind.GAUGE,
    "What a flow does outside and has under way: provider calls of deliver, waits of retry, batches of rows of record",
    ("flow",),
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
