"""Whether both sums close, stage by stage: every input record has one decision, every delivery one end.

Each fault names the topic and partition it was found at, which tells between which stages something went missing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import oracle
from audit import Audit
from case import Case, Delivery, decision, is_unclear, targets
from harness import BROKEN_TEMPLATE_ID
from ledgers import Place, Told

WAIT_S = 66.0
"""The longest wait before a further attempt: what would come after the deadline expires so much earlier."""
_STEPS_WITH_ATTEMPT = ("sent", "unknown", "dead", "expired", "suppressed", "retrying")


def check(case: Case, result: Audit) -> None:
    """Every sum."""
    check_routing(case, result)
    if case.waiting:
        _attempts(case, result)
    _ends(case, result)
    _hostile(case, result)


def check_routing(case: Case, result: Audit) -> None:
    """The sums up to the channels' topics."""
    _inputs(case, result)
    _decisions(case, result)
    if case.waiting:
        _handed_on(case, result)


def _inputs(case: Case, result: Audit) -> None:
    """The first sum: a decision for every record of an input topic, none for anything else."""
    lying = {(*place, offset) for place, end in case.ledgers.ends.items() for offset in range(end)}
    accepted = {
        (entry.topic, entry.partition, entry.offset)
        for entry in case.ledgers.accepted
        if entry.kind == "request" and entry.result == "ok"
    }
    decided = set(case.decisions)
    result.figures["decisions"] = len(decided)
    result.figures["decided_again"] = sum(len(tolds) - 1 for tolds in case.decisions.values())
    result.figures["stages"] = {
        topic: {"in": sum(place[0] == topic for place in lying), "decided": sum(place[0] == topic for place in decided)}
        for topic in sorted({topic for topic, _ in case.ledgers.ends})
    }
    result.expect_none("accepted_but_not_in_the_log", accepted - lying)
    result.expect_none("undecided", sorted(lying - decided))
    result.expect_none("decided_unasked", sorted(decided - lying))


def _decisions(case: Case, result: Audit) -> None:
    """Each decision is one the oracle knows to be right, and the same whenever it was told again."""
    last = {place: max(tolds, key=lambda told: told.at_ms) for place, tolds in case.decisions.items()}
    otherwise: list[object] = [(place, decision(last[place])) for place in case.dead if _not_dead(last.get(place))]
    twice: list[object] = []
    for wanted in case.wanted.values():
        places = [ask.place for ask in wanted.asks if ask.place in last]
        found = {place: decision(last[place]) for place in places if not _stage_failed(case, last[place])}
        again = {place for place in found if len(case.decisions[place]) > 1}
        if len(found) == len(wanted.asks) and not wanted.fits(found, again):
            otherwise.append((wanted.id, found, sorted(name for name, _ in wanted.plans)))
        if wanted.certain and len({place[:2] for place in places}) == 1:
            twice += [(place, told) for place in places if len(told := _told_ways(case, place, wanted)) > 1]
    returned = {told.id: told for place, told in last.items() if place[0].startswith("returns.")}
    held = {id_ for id_, tolds in case.decided.items() if any(told.step == "held" for told in tolds)}
    result.expect_none("decided_otherwise", otherwise)
    result.expect_none("decided_twice", twice)
    result.expect_none("held_for_ever", (id_ for id_ in held if case.answered(id_) == "held"))
    # What is held and what is told of it are no transaction: a worker that crashes between the two decides anew.
    unasked = {id_: told for id_, told in returned.items() if id_ not in held}
    result.expect_none("returned_unasked", (id_ for id_, told in unasked.items() if not _after_a_crash(case, told)))


def _not_dead(told: Told | None) -> bool:
    return told is not None and told.step != "dead"


def _stage_failed(case: Case, told: Told) -> bool:
    """Whether a record was buried by a fault that strikes the stages themselves."""
    return told.reason == "stage_failed" and case.hurts.on(told.at_ms / 1000, told.at_ms / 1000) is not None


def _after_a_crash(case: Case, told: Told) -> bool:
    """Whether a fault struck between the acceptance of a notification and what was told of it."""
    return case.hurts.on(told.accepted_ms / 1000, told.at_ms / 1000) is not None


def _told_ways(case: Case, place: Place, wanted: oracle.Wanted) -> set[str]:
    """The decisions told of a place; that a replay found its deadline past is no second one."""
    found = {decision(told) for told in case.decisions[place]}
    return found - {"expired"} if wanted.deadline <= wanted.until else found


def _handed_on(case: Case, result: Audit) -> None:
    """What route says it handed on lies on the channels' topics, and nothing else does."""
    unwritten: list[object] = []
    unasked = [delivery for delivery in case.waiting if delivery[0] not in case.wanted]
    written: dict[str, set[Delivery]] = defaultdict(set)
    for delivery in case.waiting:
        written[delivery[0]].add(delivery)
    for id_, wanted in case.wanted.items():
        answer, may_be = case.answered(id_), targets(wanted)
        unasked += written[id_] - may_be
        if answer.startswith("routed:") and len(written[id_] & may_be) < int(answer.removeprefix("routed:")):
            unwritten.append((wanted.asks[0].place[:2], id_, answer, len(written[id_])))
    result.expect_none("routed_but_not_written", unwritten)
    result.expect_none("written_unasked", unasked)


def _attempts(case: Case, result: Audit) -> None:
    """Every attempt that was asked for is told of, and every retry that was told of is asked for."""
    untold: list[object] = []
    retries_lost: list[object] = []
    attempts: Counter[str] = Counter()
    handled: Counter[str] = Counter()
    elsewhere: dict[tuple[str, str], set[int]] = defaultdict(set)
    for (id_, channel, _), tolds in case.moves.items():
        if channel != "push":  # to the one address there is; a replay after a move is no further attempt
            elsewhere[id_, channel] |= {told.attempt for told in tolds if told.step in _STEPS_WITH_ATTEMPT}
    for delivery, records in case.waiting.items():
        told = {(status.attempt, status.step) for status in case.moves.get(delivery, ())}
        known = {attempt for attempt, step in told if step in _STEPS_WITH_ATTEMPT} | elsewhere[delivery[:2]]
        lying = {record.attempt: record.place for record in records}
        for attempt, place in lying.items():
            attempts[place[0]] += 1
            handled[place[0]] += attempt in known or (0, "dead") in told
            if attempt not in known and (0, "dead") not in told:
                untold.append((place[:2], delivery, attempt))
        retries_lost += [
            (lying.get(attempt, ("?", -1))[:2], delivery, attempt)
            for attempt, step in told
            if step == "retrying" and attempt + 1 not in lying
        ]
    result.figures["stages"] |= {topic: {"in": attempts[topic], "told": handled[topic]} for topic in sorted(attempts)}
    result.expect_none("attempts_untold", untold)
    result.expect_none("retries_lost", retries_lost)


def _ends(case: Case, result: Audit) -> None:
    """The second sum: an end for each delivery that was decided, and one that has a cause."""
    ended: dict[str, set[Delivery]] = defaultdict(set)
    for delivery in case.moves:
        if case.ends(delivery):
            ended[delivery[0]].add(delivery)
    short: list[object] = []
    unasked: list[object] = []
    for id_, wanted in case.wanted.items():
        answer, found = case.answered(id_), ended[id_]
        if answer.startswith("routed:") and len(found) < int(answer.removeprefix("routed:")):
            short.append((wanted.asks[0].place[:2], id_, answer, len(found)))
        unasked += [(id_, delivery) for delivery in found - targets(wanted)]
    unasked += [delivery for id_ in set(ended) - set(case.wanted) for delivery in ended[id_]]
    result.figures["ends"] = dict(Counter(end for delivery in case.moves for end in case.ends(delivery)))
    result.expect_none("not_ended", short)
    result.expect_none("ended_unasked", unasked)
    twice = {delivery for delivery in case.moves if len(case.ends(delivery)) > 1}
    forgotten = {delivery for delivery in twice if _forgotten(case, delivery)}
    result.figures["ends_forgotten_in_a_crash"] = len(forgotten)
    result.expect_none("ended_twice", ((d, sorted(case.ends(d))) for d in twice - forgotten))
    result.expect_none("ended_without_cause", _causeless(case))


def _hostile(case: Case, result: Audit) -> None:
    """Every hostile record has a dead letter, and nothing is sent by the template that cannot be parsed."""
    result.figures["hostile"] = len(case.hostile)
    result.expect_none("hostile_without_a_dead_letter", sorted(case.hostile - case.ledgers.letters))
    tainted = {id_ for id_, wanted in case.wanted.items() if wanted.body["template_id"] == BROKEN_TEMPLATE_ID}
    sent = [delivery for delivery in case.moves if delivery[0] in tainted and "sent" in case.ends(delivery)]
    result.expect_none("sent_by_a_broken_template", sent)


def _forgotten(case: Case, delivery: Delivery) -> bool:
    """Whether an end was told by a worker that crashed before its table's entry of it was durable.

    The two are not one transaction. Whoever goes on without that worker's disk finds a call without an outcome.
    """
    at = {told.step: told.at_ms / 1000 for told in case.moves[delivery]}
    ends = case.ends(delivery) - {"unknown"}
    if len(ends) != 1 or "unknown" not in at:
        return False
    hurt = case.hurts.on(at[ends.pop()], at["unknown"])
    return hurt is not None and hurt.worker is not None


def _causeless(case: Case) -> Iterator[object]:
    """Ends that are no call's success, and why they should not be."""
    refused = {call.to_hash for call in case.ledgers.calls if not call.accepted}
    for delivery, tolds in case.moves.items():
        wanted = case.wanted.get(delivery[0])
        if wanted is None:
            continue
        # A replay tells of an end once more, at a time of its own.
        caused = {(told.step, told.reason) for told in tolds if _has_cause(case, wanted, delivery, told, refused)}
        for told in tolds:
            if (told.step, told.reason) not in caused:
                yield told.step, told.reason, told.at_ms, delivery


def _has_cause(case: Case, wanted: oracle.Wanted, delivery: Delivery, told: Told, refused: set[str]) -> bool:
    at, since, to_hash = told.at_ms / 1000, min(ask.appended for ask in wanted.asks), delivery[2]
    # What is told of before it was asked for was told by a clock that is behind: when, nobody knows.
    by_clock_behind = at < since
    if told.step == "expired":
        return at >= wanted.deadline - WAIT_S or by_clock_behind
    if told.step == "suppressed":
        until = math.inf if by_clock_behind else at + 1.0
        opted_out = case.people.may_refuse(wanted.user, delivery[1], str(wanted.body["category"]), since, until)
        return to_hash in refused or (told.reason == "opted_out" and opted_out)
    calls = case.calls.get(delivery, [])
    if told.reason == "bad_template" and wanted.body["template_id"] == BROKEN_TEMPLATE_ID:
        return True
    if told.step == "dead":
        return any(not call.accepted for call in calls) or case.hurts.on(since, at) is not None
    if told.step == "unknown":
        return any(is_unclear(call, wanted.deadline) for call in calls) or case.hurts.on(since, at) is not None
    return True
