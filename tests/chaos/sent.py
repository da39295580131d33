"""Whether what providers read is what was wanted: nobody left out, nothing else, not again, not too late."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from audit import Audit
from case import Case, Delivery, is_unclear, targets
from harness import TEMPLATE
from hurts import Hurt
from ledgers import Call

IN_FLIGHT = 64
"""Calls under way at a time in one worker, at most: what a kill may leave unknown."""
LATE_S = 1.0
"""From the last look at the deadline to the provider's having read the call."""


def check(case: Case, result: Audit) -> None:
    """Everything about calls."""
    _lost(case, result)
    _right(case, result)
    _in_time(case, result)
    _told(case, result)
    _repeats(case, result)


def _lost(case: Case, result: Audit) -> None:
    """Accepted, but nobody was called and nothing says why."""
    called = {delivery[0] for delivery in case.calls}
    ended = {delivery[0] for delivery in case.moves if case.ends(delivery)}
    closed = {id_ for id_, tolds in case.decided.items() if any(t.step in ("suppressed", "expired") for t in tolds)}
    buried = {place for place, tolds in case.decisions.items() if any(told.step == "dead" for told in tolds)}
    left = set(case.wanted) - called - ended - closed
    result.expect_none("lost", sorted(id_ for id_ in left if not buried & {ask.place for ask in case.wanted[id_].asks}))


def _right(case: Case, result: Audit) -> None:
    """The right words to the right person, and to nobody else."""
    phantoms: list[object] = []
    strangers: list[object] = []
    bodies: list[object] = []
    for delivery, calls in case.calls.items():
        id_, channel, _ = delivery
        wanted = case.wanted.get(id_)
        if wanted is None:
            phantoms += [(call.ref, call.channel) for call in calls]
        elif delivery not in targets(wanted):
            strangers += [call.ref for call in calls]
        else:
            expired = [
                ask.place for ask in wanted.asks if "expired" in {t.step for t in case.decisions.get(ask.place, ())}
            ]
            texts = wanted.text_hashes(TEMPLATE["channels"][channel]["body"], expired)
            bodies += [call.ref for call in calls if call.body_hash not in texts]
    result.expect_none("phantom", phantoms)
    result.expect_none("wrong_recipient", strangers)
    result.expect_none("wrong_body", bodies)
    result.expect_none("called_at_two_addresses", _at_two_addresses(case))


def _at_two_addresses(case: Case) -> Iterator[object]:
    """Who moved while a notification was on its way gets it once, even where it was decided anew since."""
    called: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for (id_, channel, to_hash), calls in case.calls.items():
        wanted = case.wanted.get(id_)
        if channel != "push" and wanted is not None and (id_, channel, to_hash) in targets(wanted):
            called[id_, channel][to_hash] = calls[0].at
    for place, firsts in called.items():
        if len(firsts) > 1:
            yield place, sorted(firsts)


def _in_time(case: Case, result: Audit) -> None:
    """No call after an opt-out was in force, none after the deadline."""
    refused: list[object] = []
    late: list[object] = []
    for (id_, channel, _), calls in case.calls.items():
        wanted = case.wanted.get(id_)
        for call in calls if wanted is not None else ():
            if case.people.refuse(wanted.user, channel, str(wanted.body["category"]), call.at):
                refused.append((call.ref, wanted.user))
            if case.hurts.healthy_s(wanted.deadline, call.at) > LATE_S:
                late.append((call.ref, round(call.at - wanted.deadline, 3)))
    result.expect_none("called_after_opt_out", refused)
    result.expect_none("called_after_deadline", late)


def _told(case: Case, result: Audit) -> None:
    """What was sent is told as sent, and nothing else is."""
    accepted = {delivery for delivery, calls in case.calls.items() if any(call.accepted for call in calls)}
    ends = {delivery: case.ends(delivery) for delivery in case.moves}
    unknown = {delivery for delivery, found in ends.items() if "unknown" in found}
    result.figures["unknown"] = len(unknown)
    result.figures["unknown_never_called"] = len(unknown - set(case.calls))
    result.expect_none("sent_without_a_call", {d for d, found in ends.items() if "sent" in found} - accepted)
    result.expect_none(
        "called_but_not_ended_so",
        (d for d in accepted if not ends.get(d, set()) & {"sent", "unknown"}),
    )
    result.expect_none("unknown_not_buried", (d for d in unknown if d[:2] not in case.ledgers.buried))


def _repeats(case: Case, result: Audit) -> None:
    """Messages that a provider took more than once, by cause."""
    causes: dict[str, list[Delivery]] = {name: [] for name in _CAUSES}
    by_hurt: Counter[Hurt] = Counter()
    again: dict[Delivery, list[Call]] = {}
    for delivery, calls in case.calls.items():
        sent = [call for call in calls if call.accepted]
        if len(sent) > 1:
            again[delivery] = sent
        for call, repeat in zip(sent, sent[1:], strict=False):
            cause, hurt = _cause(case, delivery, call, repeat)
            causes[cause].append(delivery)
            by_hurt.update([hurt] if hurt else [])
    wanted = {delivery: case.wanted[delivery[0]] for delivery in again if delivery[0] in case.wanted}
    result.figures["repeats"] = {cause: len(found) for cause, found in causes.items()}
    result.figures["repeats_by_class"] = dict(Counter(found.kind for found in wanted.values()))
    result.figures["repeats_per_hurt_at_most"] = max(by_hurt.values(), default=0)
    result.expect_none("repeats_by_the_producer", causes[_PRODUCER])
    result.expect_none("repeats_unexplained", causes[_UNEXPLAINED])
    result.expect_none("repeats_unflagged", (delivery for delivery in again if not case.is_flagged(delivery)))
    result.expect_none("repeats_forbidden", (delivery for delivery, found in wanted.items() if found.kind != "otp"))
    result.expect_none("repeats_too_many", ((hurt, n) for hurt, n in by_hurt.items() if n > IN_FLIGHT))
    result.expect_none("one_attempt_called_twice", _one_attempt_twice(case))


_UNKNOWN, _CRASH, _PRODUCER, _UNEXPLAINED = _CAUSES = (
    "unknown outcome",
    "crash window",
    "repeat by the producer",
    "unexplained",
)


def _cause(case: Case, delivery: Delivery, call: Call, repeat: Call) -> tuple[str, Hurt | None]:
    """Why a message went again after `call`, and the hurt that had cut the outcome off, if one had."""
    wanted = case.wanted.get(delivery[0])
    if wanted is None or call.ref == repeat.ref:
        return _UNEXPLAINED, None
    if not case.is_flagged(delivery):
        return (_PRODUCER if len(wanted.asks) > 1 else _UNEXPLAINED), None
    if is_unclear(call, wanted.deadline):
        return _UNKNOWN, None
    hurt = case.hurts.after_call(call.at, call.delay)
    if hurt is None:
        return _UNEXPLAINED, None
    return (_CRASH, hurt) if hurt.worker else (_UNKNOWN, None)


def _one_attempt_twice(case: Case) -> Iterator[object]:
    for delivery, calls in case.calls.items():
        times = Counter(call.ref for call in calls)
        yield from ((delivery, ref) for ref, count in times.items() if count > 1)
