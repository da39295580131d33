"""OTPs while ten times as much marketing comes. `make bench-blast`.

    python tests/bench/blast.py RATE=50 TIMES=10 SECONDS=30

OTPs come at an even rate, alone at first, then beside a blast of TIMES as many marketing messages, then alone again;
each stretch lasts SECONDS. A wait is from due to the provider's having read the call (open loop), and is told by the
stretch it was due in; what still drains of the blast falls into the last. Everything is aboard as in bench-pipeline.
"""

from measure import percentile, say
from pipeline import WARM_UP_S, Pipeline
from results import Result
from rig import Rig, lead_s
from sums import Sums

from deploy.local.results import option
from deploy.local.stack import PARTS

STRETCHES = ("before", "during", "after")
_SHARES = {"p50": 0.5, "p99": 0.99, "worst": 1.0}


def main() -> None:
    """Warm up, send both, tell the waits of each stretch; the figures as JSON in the last line."""
    rate, times, seconds = option("RATE", 50), option("TIMES", 10), option("SECONDS", 30)
    users, result = option("USERS", 20_000), Result("blast")
    with Rig(PARTS) as rig:
        path = Pipeline(rig, users)
        path.holds("warm", 500, WARM_UP_S)
        otps = rig.load("otp", rate, seconds * len(STRETCHES), users, "otp")
        otps.sleep_until(seconds - lead_s(rate * times, seconds))
        blast = rig.load("blast", rate * times, seconds, users, "marketing")
        late = {"otp_generator_late_ms": otps.finish()["late_ms"], "blast_generator_late_ms": blast.finish()["late_ms"]}
        path.check()
        path.lanes.drain(blast.start + seconds)
        calls, marketing = path.lanes.calls([otps], "otp"), path.lanes.calls([blast], "marketing")
        sums = Sums(rig, path.lanes)
    found: dict[str, object] = {}
    for number, stretch in enumerate(STRETCHES):
        begins = otps.start + number * seconds
        waits = sorted(wait for due, wait in calls.by_due if begins <= due < begins + seconds)
        told = {name: round(percentile(waits, share) * 1000, 1) for name, share in _SHARES.items()}
        say(f"  {stretch}: {len(waits)} OTPs, " + ", ".join(f"{name} {ms} ms" for name, ms in told.items()))
        found |= {f"otp_{name}_ms_{stretch}": ms for name, ms in told.items()}
    say(str(sums))
    found |= {"otp_per_s": rate, "blast_per_s": rate * times, "otps_not_called": calls.missing}
    found |= {"marketing_p99_ms": round(percentile(marketing.waits, 0.99) * 1000, 1), "sums_close": sums.close}
    result.save(found | late)


if __name__ == "__main__":
    main()
