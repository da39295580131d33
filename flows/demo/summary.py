"""The end of the demo in words: both sums, reasons, providers, percentiles."""

from collections import Counter
from collections.abc import Iterator

from flows.demo.audit import Intake, Reckoning
from flows.demo.ledger import Seen, percentile
from schemas.channels import CHANNELS
from schemas.vocabulary import Decision, End, MessageClass


def lines(found: Reckoning, seen: Seen, written: int) -> Iterator[str]:
    """The summary, line by line. `written` is what the upstream producers had acknowledged."""
    yield from ("", "Every record has one decision")
    for intake in found.intakes:
        yield f"  {intake.topic:22}{intake.records:8} records  {intake.decided:8} decided   {_decisions(intake)}"
    yield f"  upstream wrote {written}; {found.held} were held for a while and came back"
    yield from ("", "Every delivery has one end")
    yield f"  announced {found.announced}, ended {found.ended}"
    for channel in CHANNELS:
        ends = Counter({end: sum(n for (c, e, _), n in found.ends.items() if (c, e) == (channel, end)) for end in End})
        told = "  ".join(f"{end} {ends[end]}" for end in End if ends[end])
        yield f"  {channel:8}{told}  tried again {found.retried[channel]}"
    yield from ("", "Reasons")
    reasons: Counter[str] = Counter()
    for intake in found.intakes:
        for (step, reason), count in intake.decisions.items():
            reasons[f"{step}: {reason}"] += count if reason else 0
    for (_, end, reason), count in found.ends.items():
        reasons[f"{end}: {reason}"] += count if reason else 0
    yield from (f"  {what:36}{count:8}" for what, count in reasons.most_common() if count)
    yield from ("", "Rows in the store", f"  {'  '.join(f'{name} {n}' for name, n in sorted(found.rows.items()))}")
    yield from _providers(seen)
    yield ""
    if found.missing:
        yield "THE SUMS DO NOT CLOSE:"
        yield from (f"  {line}" for line in found.missing)
    else:
        records = sum(intake.records for intake in found.intakes)
        yield f"Both sums close: {records} records, {found.announced} deliveries, none lost."


def _decisions(intake: Intake) -> str:
    counts = Counter({d: sum(n for (step, _), n in intake.decisions.items() if step == d) for d in Decision})
    return "  ".join(f"{decision} {counts[decision]}" for decision in Decision if counts[decision])


def _providers(seen: Seen) -> Iterator[str]:
    yield from ("", "What the providers saw")
    for channel in CHANNELS:
        yield f"  {channel:8}calls {seen.calls[channel]:7}  accepted {seen.accepted[channel]:7}"
    yield f"  taken twice under one reference: {seen.repeated}"
    yield f"  sent once more because nobody knew (OTPs): {seen.again}"
    yield from ("", "From due to the provider, ms")
    for name in (*CHANNELS, *MessageClass):
        if waits := seen.waits.get(name):
            shares = "  ".join(f"p{share * 100:g} {percentile(waits, share):6.0f}" for share in (0.5, 0.9, 0.99))
            yield f"  {name:14}{shares}"
