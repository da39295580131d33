"""Results as runs leave them, made by hand: `.carillon/{bench,chaos}` of figures that a test can tell."""

import json
import math
from pathlib import Path
from typing import Any

ABOUT: dict[str, Any] = {
    "command": "run.py EVENTS=1000",
    "commit": "abc1234",
    "began": "2026-01-02T03:04:05Z",
    "took_s": 61.5,
    "machine": {"cores": 2, "cpu": "Some CPU", "memory_gb": 24, "kernel": "6.1"},
    "versions": {"python": "3.11.7", "kafka-server": "4.4.0"},
    "load_before": 0.5,
    "load_after": 1.75,
    "pace_ms_before": 45.5,
    "pace_ms_after": 55.5,
}
IDLE = {"idle_flows": 6, "idle_worker_percent": 1.25, "idle_broker_percent": 2.75}
PEERS = {"carillon": 11.5, "plain lean": 9.5, "streams like": 24.5, "quix like": 80.25, "faust stock": 311.0}


_LOST_IN_ROUTING = ("undecided", "held_for_ever", "routed_but_not_written")


def leave(folder: Path) -> None:
    """Every result there is."""
    for number in (1, 2):
        put(folder, f"chaos/seed-{number}", seed(number))
    put(folder, "chaos/route", ABOUT | _routing())
    put(folder, "chaos/scale", ABOUT | _scale())
    put(folder, "chaos/deliver", ABOUT | _deliver())
    put(folder, "chaos/lanes", ABOUT | _lanes())
    put(folder, "chaos/selftest", ABOUT | {"red": {"no plant": [], "drop": ["lost", "undecided"]}, "faults": []})
    put(folder, "chaos/stock", ABOUT | {"accepted": 5000, "lost": 417, "repeats": {}, "red": ["lost"]})
    put(folder, "bench/peers", ABOUT | {"events": 40000, "users": 8000, "runs": 2, "peers": _backlog()})
    put(folder, "bench/kills", ABOUT | {"kills": 12, "rate": 4000, "seed": 1, "peers": _kills()})
    put(folder, "bench/steady", ABOUT | {"peers": {name: _rates(us) for name, us in PEERS.items()}})
    put(folder, "bench/latency", ABOUT | {"rates": _rates(11.5)} | IDLE)
    put(folder, "bench/pipeline", ABOUT | _pipeline())
    earlier = {"began": "2026-01-01T00:00:00Z", "sustained_per_s": 2500}
    put(folder, "bench/pipeline-again-1", ABOUT | _pipeline() | earlier)
    put(folder, "bench/blast", ABOUT | _blast())
    put(folder, "chaos/brokers", ABOUT | _brokers())


def _routing() -> dict[str, Any]:
    checks = (*_LOST_IN_ROUTING, "decided_otherwise", "decided_twice", "re_emitted")
    seeds = [{"seed": n, "kinds": ["kill", "term"], "inputs": 70_001, **dict.fromkeys(checks, n)} for n in (1, 2)]
    return {"events": 70_000, "faults_a_seed": 12, "failed_seeds": [2], "seeds": seeds}


def _scale() -> dict[str, Any]:
    steps = [{"workers": n, "ready_s": s} for n, s in ((1, 2.5), (2, 3.5), (4, 6.5), (2, 0.0), (1, 0.0))]
    lost = dict(zip(_LOST_IN_ROUTING, (1, 2, 4), strict=True))
    return lost | {"inputs": 80_001, "re_emitted": 9, "steps": steps, "drained_s": 7.25, "faults": ["undecided"]}


def _deliver() -> dict[str, Any]:
    told = {"repeats": {"unknown outcome": 2, "crash window": 31}, "repeats_per_hurt_at_most": 13}
    return told | {"hurts": 20, "calls": 40_321, "repeats_unflagged": 3, "lost": 5, "faults": ["lost"]}


def _lanes() -> dict[str, Any]:
    return {
        "backlog": 900_000,
        "waiting_at_first_opt_out": {"route.low": 456_789, "deliver.sms.low": 123_456},
        "waiting_at_the_end": {"deliver.sms.low": 98_765},
        "last_call_after_opt_out_s": {"each": [0.25, -0.125, 0.75], "worst": 0.75},
        "otp_quiet_ms": {"p50": 21.5, "p99": 31.5, "p99.9": 36.5, "worst": 41.5, "count": 750},
        "otp_quiet_lost": 0,
        "people": 40_000,
        "otp_imported_ms": {"p50": 31.5, "p99": 81.5, "p99.9": 91.5, "worst": 95.5, "count": 500},
        "otp_imported_lost": 1,
        "otp_busy_ms": {"p50": 22.5, "p99": 52.5, "p99.9": 62.5, "worst": 72.5, "count": 2998},
        "otp_busy_lost": 2,
        "faults": ["otp_busy_lost"],
    }


def put(folder: Path, name: str, result: dict[str, Any]) -> None:
    """Leave one result."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def seed(number: int, **other: object) -> dict[str, Any]:
    """A minute with a kill, a restart of all, a broker's death and a pair, each of which delays what was due then."""
    struck = [
        _strike(["kill"], 5.0, 5.0, 10.0, 4.0 + number, 7 + number),
        _strike(["rolling_restart"], 18.0, 22.5, 3.0, 0.5, 6),
        _strike(["broker_kill"], 32.0, 35.0, 15.0, 5.0, 8),
        _strike(["kill", "provider_outage"], 50.0, 54.0, 10.0, 1.0, 7),
    ]
    return ABOUT | {
        "command": f"chaos.py SEED={number} DURATION=60",
        "seed": number,
        "struck": struck,
        "late": [],
        "deaths": [],
        "accepted": 1234,
        "accepted_perhaps": 3,
        "calls": 1500,
        "lost": 0,
        "repeats": {"unknown outcome": 4, "crash window": 7, "repeat by the producer": 0, "unexplained": 0},
        "repeats_per_hurt_at_most": 5 + number,
        "repeats_unexplained": 0,
        "drained_s": 3.5,
        "faults": [],
        "seconds": [_second(second, struck) for second in range(64)],
        "resident_mib": {"high-a": [120] * 64},
        **other,
    }


def _brokers() -> dict[str, Any]:
    away = [
        {"nodes": [2], "struck_s": 9.0, "healed_s": 19.5, "recovered_s": 0.5},
        {"nodes": [1, 3], "struck_s": 30.0, "healed_s": 40.5, "recovered_s": 6.25},
    ]
    figures = {"accepted": 8999, "lost": 0, "acknowledged_without_a_majority": 0, "drained_s": 4.5}
    return figures | {"away": away, "faults": [], "seconds": [_second(second, []) for second in range(64)]}


def _strike(
    faults: list[str], struck_s: float, healed_s: float, recovers_s: float, after_s: float, late_s: int
) -> dict[str, Any]:
    times = {"struck_s": struck_s, "healed_s": healed_s, "recovers_s": recovers_s, "recovered_s": after_s}
    return {"faults": faults, "late_s": late_s} | times


def _second(second: int, struck: list[dict[str, Any]]) -> dict[str, float]:
    wait = 30.0 + 5 * math.sin(second)
    for strike in struck:
        left = strike["healed_s"] + strike["recovered_s"] - second
        if strike["struck_s"] <= second and left > 0:
            wait = max(wait, left * 1000)
    loaded = second < 60
    return {
        "second": second,
        "due": 100 if loaded else 0,
        "called": 140 if wait < 1000 else 20,
        "p50_ms": wait / 2 if loaded else 0.0,
        "p99_ms": wait if loaded else 0.0,
    }


def _backlog() -> dict[str, list[dict[str, float]]]:
    return {
        name: [
            {
                "cpu_us": us * factor,
                "steady_us": us * 0.9,
                "wall_per_s": 1e6 / us,
                "rss_mb": 150.0,
                "again": 0,
                "lost": 0,
                "recovery_s": 1 + us / 30 * factor,
            }
            for factor in (1.0, 1.25)
        ]
        for name, us in PEERS.items()
    }


def _kills() -> list[dict[str, Any]]:
    harm = {"wrong": 0, "written_again": 9, "back_s": 2.5, "back_s_range": [2.25, 3.0], "trouble": ""}
    told = {"events": 99999, "kills": 12, "deliveries": 75000}
    rows = [
        {"peer": name, **told, "lost": lost, "twice": lost * 3, "let_through": lost // 2, **harm}
        for name, lost in zip(PEERS, (0, 1203, 0, 55, 8117), strict=True)
    ]
    return [*rows, {"peer": "bytewax like", "trouble": "not back within 60 s of kill 3"}]


def _rates(us: float) -> list[dict[str, float]]:
    return [
        {
            "rate": rate,
            "p50_ms": 5.0 + us / 40,
            "p99_ms": 12.0 + us / 4,
            "p999_ms": 30.0 + us,
            "max_ms": 90.0 + us,
            "worker_us": us * 2 + 20000 / rate,
            "broker_us": 10 + 30000 / rate,
        }
        for rate in (500, 2000, 5000)
    ]


def _blast() -> dict[str, Any]:
    waits = {
        f"otp_{share}_ms_{stretch}": ms + more
        for stretch, more in {"before": 0.0, "during": 20.0, "after": 5.0}.items()
        for share, ms in {"p50": 31.5, "p99": 71.5, "worst": 101.5}.items()
    }
    return waits | {"otp_per_s": 50, "blast_per_s": 500, "otps_not_called": 0, "sums_close": True}


def _pipeline() -> dict[str, Any]:
    return {
        "sustained_per_s": 2750,
        "at_rate": 1925,
        "p50_ms": 41.5,
        "p99_ms": 83.5,
        "p999_ms": 120.5,
        "max_ms": 151.5,
        "calls": 100000,
        "lost": 0,
        "called_twice": 0,
        "statuses_drained_s": 1.5,
        "generator_late_ms": 2.5,
        "cpu_us": {"high": 190, "low": 130, "kafka": 110, "sandbox": 40},
        "sums_close": True,
    }
