"""The first step: everybody but the one to be promoted is stopped for certain, the source last. Until then a
failover may be given back."""

from mailward.controller.core.cases import WELL, failing_for_long, is_well
from mailward.controller.core.cluster import ladder, leases
from mailward.controller.core.cluster.succession import choosing, course
from mailward.controller.core.draft import Draft
from mailward.model.fencing import opens
from mailward.model.orders import Action, PowerOff, Result, key_of
from mailward.model.state import Cause, Ending, Kind, Phase, Step


def fence(draft: Draft) -> str:
    operation = draft.running()
    course.close_who_was_being_opened(draft)
    if _serves_again(draft):
        if ladder.may_yet_go_off(draft.situation, operation.node):
            return f"{operation.node} serves again, and may yet be switched off by what was begun"
        _give_back(draft, f"{operation.node} serves again, and had not been stopped")
        return ""
    if operation.kind is Kind.SWITCHOVER and failing_for_long(draft.situation, operation, operation.node):
        course.become_failover(draft)
        return ""
    if course.by_hand(operation) and course.impatient(draft) and _tried(draft) and _may_give_back(draft):
        _give_back(draft, f"{operation.node} could not be stopped: {_said(draft, operation.node)}")
        return ""
    held = choosing.choose(draft)
    if held and course.asked(operation):
        if choosing.may_pass(draft):
            return held
        course.turn_back(draft, held)
        return ""
    if held and course.impatient(draft) and (_comes_back(draft) or not operation.node):
        _hand_over(draft, held)
        return held
    if held:
        opened = "".join(f"; {n} is to be closed ({_said(draft, n)})" for n in _closed_anyhow(draft))
        return f"{held}{opened}"
    left = ladder.to_be_stopped(draft.situation, draft.running(), draft.running().to)
    if not left:
        draft.enter(Step.RESCUE if operation.kind is Kind.FAILOVER or operation.failed else Step.CATCH_UP)
        return ""
    nodes = draft.policy.node_by_name
    told = "; ".join(f"{n} is not known to be stopped ({_said(draft, n) or 'being tried'})" for n in left)
    first = tuple(name for name in left if name != draft.running().node) or left
    if any(not ladder.choose(draft.situation, draft.running(), nodes[name]).answered for name in first):
        return told
    word = f"mailward vouch {first[0]} --operation {draft.running().id}"
    return f"{told}. If you have stopped it yourself: {word}"


def count(draft: Draft) -> None:
    """I8: a failover counts for its hour once it has stopped somebody for certain: all, and its first step is
    over, or one whose power had to be switched off before."""
    operation, now = draft.running(), draft.now
    began_s = operation.started.age_s(now)
    if operation.kind is not Kind.FAILOVER or any(at.age_s(now) <= began_s for at in draft.state.fenced_at):
        return
    attempts = [operation.attempt(key_of(PowerOff(node.name))) for node in draft.policy.nodes]
    off = any(attempt is not None and attempt.result is Result.DONE for attempt in attempts)
    if operation.step is not Step.FENCE or off:
        draft.count_failover()


def rungs(draft: Draft) -> tuple[Action, ...]:
    operation, situation = draft.running(), draft.situation
    if _serves_again(draft):
        return ()
    fit = operation.to in choosing.fit_of(draft, choosing.field_now(draft))
    left = ladder.to_be_stopped(situation, operation, operation.to) if fit else _closed_anyhow(draft)
    found = []
    others = tuple(name for name in left if name != operation.node)
    for name in others or left:  # who serves is stopped last: another may be impossible to stop
        choice = ladder.choose(situation, operation, draft.policy.node_by_name[name])
        found += [choice.action] if choice.action is not None else []
    return tuple(found)


def _said(draft: Draft, name: str) -> str:
    return ladder.choose(draft.situation, draft.running(), draft.policy.node_by_name[name]).said


def _tried(draft: Draft) -> bool:
    return all(attempt.result is not None for attempt in draft.running().attempts)


def _closed_anyhow(draft: Draft) -> tuple[str, ...]:
    """Who is not known to be stopped, and is closed though nobody can take over: whoever was opened and given
    up since. The source is left as it was, unless it was opened again or nobody reaches it."""
    operation = draft.running()
    left = ladder.not_stopped(draft.situation, operation, "")
    given_up = [name for name in left if course.is_in(draft, name, Phase.DEMOTING)]
    return tuple(n for n in given_up if n != operation.node or _opened_again(draft) or _is_shut(draft))


def _opened_again(draft: Draft) -> bool:
    """Whether the last that the source was ordered, in this operation, was to open."""
    operation = draft.running()
    record = draft.ports_of(operation.node)
    if record is None or not opens(record.ports):
        return False
    return record.at.age_s(draft.now) <= operation.started.age_s(draft.now)


def _is_shut(draft: Draft) -> bool:
    """Whether no client reaches the source, since its ports are closed, and not by root's hand: by an order
    that nobody has heard of, by its lease, or since its boot. To close it for certain costs nobody anything,
    and then it is looked at behind its ports, and may serve again. (From outside that is seldom seen: nodes
    reach each other all the same.)"""
    node = draft.running().node
    facts, ordered = draft.sight.nodes[node].facts, draft.ports_of(node)
    if facts is None or not facts.ports:
        return False
    if not opens(facts.ports):
        return facts.applied is True and ordered is not None and not opens(ordered.ports)
    booted = facts.applied is False and facts.boots_closed
    return leases.lapsed(facts) or (booted and not is_well(draft.situation, node))


def _opened_meanwhile(draft: Draft) -> bool:
    """Whether somebody whom this operation has opened is not known to be stopped."""
    operation = draft.running()
    others = ladder.not_stopped(draft.situation, operation, operation.node)
    opened = (Phase.DEMOTING, Phase.PROMOTING)
    return any(course.is_in(draft, name, phase) for name in others for phase in opened)


def _serves_again(draft: Draft) -> bool:
    """Whether the source was left as it was, as far as anybody knows, and serves, and nobody else may. Then
    it is not stopped any more."""
    operation = draft.running()
    source, endpoints = operation.node, draft.policy.endpoints_of(operation.node)
    if not source or course.by_hand(operation) or not endpoints:
        return False
    if not course.is_in(draft, source, Phase.DEMOTING):
        return False
    judged = [draft.judgements[source, endpoint.name] for endpoint in endpoints]
    if not all(judgement.condition in WELL and judgement.outside for judgement in judged):
        return False
    return not _opened_meanwhile(draft)


def _may_give_back(draft: Draft) -> bool:
    """Whether the source could not be stopped, is well as clients find it or was to be left by plan, and
    nobody else may be open (I4)."""
    operation, situation = draft.running(), draft.situation
    if not operation.node or ladder.stopped(situation, operation.node):
        return False
    if ladder.not_stopped(situation, operation, operation.node) or not course.is_in(
        draft, operation.node, Phase.DEMOTING
    ):
        return False
    return operation.kind is Kind.SWITCHOVER or course.known_to_serve(draft, operation.node)


def _give_back(draft: Draft, why: str) -> None:
    """The source is in service as before; its ports are ordered open where they were closed."""
    operation = draft.running()
    course.put(draft, operation.node, Phase.IN_SERVICE)
    course.set_aside_who_left(draft)
    draft.end(Ending.ROLLED_BACK, why)


def _comes_back(draft: Draft) -> bool:
    """Whether somebody who is out is well: it may stand by, and take over, when nothing else runs."""
    for name in [node.name for node in draft.policy.nodes if course.is_in(draft, node.name, Phase.OUT)]:
        by_hand = any(record.cause is Cause.OPERATOR for record in draft.state.phases_of(name))
        if not by_hand and is_well(draft.situation, name):
            return True
    return False


def _hand_over(draft: Draft, held: str) -> None:
    """To a person, or to who comes back; who was opened in vain is out, and what follows closes it. The
    source keeps why it was left at last, which is not always why it was to be left: by that it is taken up
    again."""
    operation = draft.running()
    if course.is_in(draft, operation.node, Phase.DEMOTING):
        course.put(draft, operation.node, Phase.DEMOTING, operation.cause, operation.reason)
    for node in draft.policy.nodes:
        if node.name != operation.node and course.is_in(draft, node.name, Phase.DEMOTING):
            course.put(draft, node.name, Phase.OUT, Cause.SERVICE, held)
    command = "mailward explain" if operation.node else "mailward switchover NODE"
    draft.end(Ending.HANDED_OVER, f"{held}; {command}")
