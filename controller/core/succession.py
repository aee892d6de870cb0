"""Succession: how service moves from one node of a cluster to another, and never is at two (I4).

All endpoints of a node share one phase. The `source` is demoting from the first step on: its ports are to be
closed, and until every node but the one to be promoted is known to be stopped nothing is opened. Nobody is
stopped while nobody could take over (I8). DNS changes when the new one answers from outside (I2).

What fails before that is undone by the same steps with another `to`: one that was opened and does not serve
is stopped in its turn, whether or not anybody can take over yet, and the next best is promoted. So a
switchover rolls back: the target is stopped before the source is opened again, and nobody but these two is
ever promoted by it.

A failover waits as long as it must for a fence, a candidate, or a person's word; each is said, with what to
type. It is given back when the source serves again and nothing of it was stopped for certain; then it does
not count for `failovers_per_hour`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

from mailward.controller.core import bounds, candidates, doubts, ladder, leases, operations
from mailward.controller.core.cases import FAILING, WELL, Case
from mailward.controller.core.draft import Draft
from mailward.controller.core.operations import Turn
from mailward.controller.core.phases import desired_rrsets, order_of_ports
from mailward.model.fencing import FenceOutcome, Hook, PortKind
from mailward.model.orders import (
    Action,
    KickReplication,
    OrderPorts,
    PowerOff,
    Publish,
    Result,
    key_of,
)
from mailward.model.policy import Deployment, Policy
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, PhaseRecord, State, Step, Vouched

_MOST_STEPS = 14


def runs(policy: Policy, operation: Operation | None) -> bool:
    """Whether an operation is one of these."""
    kinds = (Kind.FAILOVER, Kind.SWITCHOVER)
    return policy.deployment is Deployment.CLUSTER and operation is not None and operation.kind in kinds


def advance(draft: Draft) -> None:
    """Take the running operation as far as its evidence goes."""
    for _ in range(_MOST_STEPS):
        operation = draft.state.operation
        if operation is None or operation.node not in ("", *draft.policy.node_by_name):
            if operation is not None:
                draft.end(Ending.ROLLED_BACK, "the configuration no longer has its node")
            return
        if operation.to not in ("", *draft.policy.node_by_name):
            draft.state = replace(draft.state, operation=replace(operation, to="", step=Step.FENCE))
        _count(draft)
        phases = draft.state.phases
        draft.waits_for = _STEPS[draft.running().step](draft)
        if draft.waits_for or draft.state.phases != phases:
            return  # each phase is recorded before anything is made of it


def wanted(draft: Draft) -> tuple[Action, ...]:
    """What may be ordered at the running step now, not counting what is out or done."""
    operation, policy, state = draft.running(), draft.policy, draft.state
    if operation.step is Step.FENCE:
        return _rungs(draft)
    if operation.step in (Step.RESCUE, Step.CATCH_UP):
        views = draft.sight.nodes
        nodes = [n.name for n in policy.nodes if n.replicates and views[n.name].facts is not None]
        return tuple(KickReplication(name) for name in nodes)
    if operation.step is Step.DEMOTE:
        return operations.demotion(policy, state, operation.node)
    if operation.step is Step.PROMOTE and not ladder.to_be_stopped(draft.situation, operation, operation.to):
        return (order_of_ports(policy, state, operation.to, Hook.PROMOTE),)
    if operation.step in (Step.PUBLISH, Step.VERIFY):
        closed = ladder.closed_by_itself(draft.situation, operation.to)
        serves = known_to_serve(draft, operation.to) and not closed
        found = operations.wanted(policy, state, operation)
        return tuple(action for action in found if serves or not isinstance(action, Publish))
    return ()


def known_to_serve(draft: Draft, node: str) -> bool:
    """As clients find it, behind every endpoint: who is published (I2)."""
    endpoints = draft.policy.endpoints_of(node)
    return all(doubts.known_to_serve(draft.situation, node, endpoint.name) for endpoint in endpoints)


# stopping


def note_what_is_over(draft: Draft) -> None:
    """Of every node that counted as stopped, as soon as it is seen that it is not; of a person's word as
    well."""
    if draft.policy.deployment is not Deployment.CLUSTER:
        return
    situation = draft.situation
    for node in draft.policy.nodes:
        answers, opened = ladder.what_is_over(situation, node.name)
        if answers:
            draft.forget_power(node.name)
        record = draft.ports_of(node.name)
        if opened and record is not None:
            draft.put_ports(
                replace(record, fence=FenceOutcome.UNKNOWN, detail="its helper shows other ports")
            )
    operation = draft.state.operation
    if operation is not None:
        kept = tuple(word for word in operation.vouched if ladder.counts(situation, word))
        if kept != operation.vouched:
            draft.state = replace(draft.state, operation=replace(operation, vouched=kept))


def _rungs(draft: Draft) -> tuple[Action, ...]:
    operation, situation = draft.running(), draft.situation
    if _serves_again(draft):
        return ()
    fit = operation.to in _fit(draft, _field(draft))
    left = ladder.to_be_stopped(situation, operation, operation.to) if fit else _opened_in_vain(draft)
    found = []
    others = tuple(name for name in left if name != operation.node)
    for name in others or left:  # who serves is stopped last: another may be impossible to stop
        choice = ladder.choose(situation, operation, draft.policy.node_by_name[name])
        found += [choice.action] if choice.action is not None else []
    return tuple(found)


def _opened_in_vain(draft: Draft) -> tuple[str, ...]:
    """Who was opened and given up since, and is not known to be stopped: closed though nobody can take over.
    The source is left as it was, unless it was opened again."""
    operation = draft.running()
    left = [n for n in ladder.not_stopped(draft.situation, operation, "") if _is(draft, n, Phase.DEMOTING)]
    return tuple(name for name in left if name != operation.node or _opened_again(draft))


def _opened_again(draft: Draft) -> bool:
    """Whether the last that the source was ordered, in this operation, was to open."""
    operation = draft.running()
    record = draft.ports_of(operation.node)
    opens = record is not None and any(port.kind is not PortKind.CLOSED for port in record.ports.values())
    return opens and record is not None and record.at.age_s(draft.now) <= operation.started.age_s(draft.now)


def _count(draft: Draft) -> None:
    """I8: a failover counts for its hour once it has stopped somebody for certain."""
    operation, now = draft.running(), draft.now
    began_s = operation.started.age_s(now)
    if operation.kind is not Kind.FAILOVER or any(at.age_s(now) <= began_s for at in draft.state.fenced_at):
        return
    stopping = (
        key_of(OrderPorts(operation.node, {})),
        *(key_of(PowerOff(n.name)) for n in draft.policy.nodes),
    )
    done = [attempt.key for attempt in operation.attempts if attempt.result is Result.DONE]
    if operation.step is not Step.FENCE or any(key in stopping for key in done):
        draft.count_failover()


def _fence(draft: Draft) -> str:
    operation = draft.running()
    if _serves_again(draft):
        if ladder.may_yet_go_off(draft.situation, operation.node):
            return f"{operation.node} serves again, and may yet be switched off by what was begun"
        _give_back(draft, f"{operation.node} serves again, and had not been stopped")
        return ""
    if operation.kind is Kind.SWITCHOVER and _failing(draft, operation.node):
        _become_failover(draft)
        return ""
    if _by_hand(operation) and _impatient(draft) and _tried(draft) and _may_give_back(draft):
        _give_back(draft, f"{operation.node} could not be stopped: {_said(draft, operation.node)}")
        return ""
    held = _choose(draft)
    if held and _asked(operation):
        if _may_pass(draft):
            return held
        _turn_back(draft, held)
        return ""
    if held and _impatient(draft) and (_comes_back(draft) or not operation.node):
        _hand_over(draft, held)
        return held
    if held:
        opened = "".join(f"; {n} is to be closed ({_said(draft, n)})" for n in _opened_in_vain(draft))
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


def _comes_back(draft: Draft) -> bool:
    """Whether somebody who is out is well: it may stand by, and take over, when nothing else runs."""
    for name in [node.name for node in draft.policy.nodes if _is(draft, node.name, Phase.OUT)]:
        records = draft.state.phases_of(name)
        judged = [draft.judgements[name, endpoint.name] for endpoint in draft.policy.endpoints_of(name)]
        by_hand = any(record.cause is Cause.OPERATOR for record in records)
        if not by_hand and all(judgement.condition in WELL for judgement in judged):
            return True
    return False


def _hand_over(draft: Draft, held: str) -> None:
    """To a person, or to who comes back; who was opened in vain is out, and what follows closes it."""
    operation = draft.running()
    for node in draft.policy.nodes:
        if node.name != operation.node and _is(draft, node.name, Phase.DEMOTING):
            _set(draft, node.name, Phase.OUT, Cause.SERVICE, held)
    command = "mailward explain" if operation.node else "mailward switchover NODE"
    draft.end(Ending.HANDED_OVER, f"{held}; {command}")


def left_behind(state: State) -> PhaseRecord | None:
    """The node that was being stopped when nobody could take over, while nobody serves and nothing runs."""
    serves = any(record.phase in (Phase.IN_SERVICE, Phase.PROMOTING) for record in state.phases)
    if serves or state.operation is not None:
        return None
    return next((record for record in state.phases if record.phase is Phase.DEMOTING), None)


def _said(draft: Draft, name: str) -> str:
    return ladder.choose(draft.situation, draft.running(), draft.policy.node_by_name[name]).said


def _tried(draft: Draft) -> bool:
    return all(attempt.result is not None for attempt in draft.running().attempts)


def _by_hand(operation: Operation) -> bool:
    """A failover by hand, or planned work."""
    return operation.kind is Kind.SWITCHOVER or operation.cause is Cause.OPERATOR


def _may_give_back(draft: Draft) -> bool:
    """Whether the source could not be stopped, is well as clients find it or was to be left by plan, and
    nobody else may be open (I4)."""
    operation, situation = draft.running(), draft.situation
    if not operation.node or ladder.stopped(situation, operation.node):
        return False
    if ladder.not_stopped(situation, operation, operation.node) or not _is(
        draft, operation.node, Phase.DEMOTING
    ):
        return False
    return operation.kind is Kind.SWITCHOVER or known_to_serve(draft, operation.node)


def _opened_meanwhile(draft: Draft) -> bool:
    """Whether somebody whom this operation has opened is not known to be stopped."""
    operation = draft.running()
    others = ladder.not_stopped(draft.situation, operation, operation.node)
    return any(_is(draft, name, Phase.DEMOTING) or _is(draft, name, Phase.PROMOTING) for name in others)


def _is(draft: Draft, node: str, phase: Phase) -> bool:
    records = draft.state.phases_of(node)
    return bool(records) and records[0].phase is phase


def _serves_again(draft: Draft) -> bool:
    """Whether the source was left as it was, as far as anybody knows, and serves, and nobody else may. Then
    it is not stopped any more."""
    operation = draft.running()
    source, endpoints = operation.node, draft.policy.endpoints_of(operation.node)
    if not source or _by_hand(operation) or not endpoints or not _is(draft, source, Phase.DEMOTING):
        return False
    judged = [draft.judgements[source, endpoint.name] for endpoint in endpoints]
    if not all(judgement.condition in WELL and judgement.outside for judgement in judged):
        return False
    return not _opened_meanwhile(draft)


def _give_back(draft: Draft, why: str) -> None:
    """The source is in service as before; its ports are ordered open where they were closed."""
    operation = draft.running()
    _set(draft, operation.node, Phase.IN_SERVICE)
    _set_aside_who_left(draft)
    draft.end(Ending.ROLLED_BACK, why)


def _failing(draft: Draft, node: str) -> bool:
    """Whether a node has failed for longer than a restart takes, or its helper is silent as well."""
    found = [draft.judgements[node, endpoint.name] for endpoint in draft.policy.endpoints_of(node)]
    patience_s = draft.policy.rules.takeover_after_s
    if any(judgement.condition in FAILING and judgement.failing_s >= patience_s for judgement in found):
        return True
    silent = draft.sight.nodes[node].facts is None and not all(j.condition in WELL for j in found)
    return silent and draft.running().step_since.age_s(draft.now) >= patience_s


def _become_failover(draft: Draft, cause: Cause = Cause.SERVICE, request: str | None = None) -> None:
    """A failover pre-empts planned work; what was said for that counts no more."""
    before = draft.running()
    draft.end(Ending.ROLLED_BACK, f"{before.node} failed")
    reason = draft.judgements[before.node, before.endpoints[0]].evidence
    failover = replace(
        before, id=draft.operation_id(), kind=Kind.FAILOVER, step=Step.FENCE, started=draft.now,
        step_since=draft.now, cause=cause, reason=reason or before.reason, request=request, attempts=(),
        notes=(), to="", failed=(), vouched=(), accepts=None,
    )  # fmt: skip
    draft.start(failover)


def waits_for(draft: Draft, node: str) -> bool:
    """Whether the running operation waits for a node to be stopped."""
    operation = draft.running()
    return node in ladder.to_be_stopped(draft.situation, operation, operation.to)


def vouch(draft: Draft, node: str, who: str) -> None:
    """A person says that a node is stopped: it counts for this operation, and is kept with it."""
    draft.note(f"{who} vouches that {node} is stopped")
    operation = draft.running()
    facts = draft.sight.nodes[node].facts
    word = Vouched(node, who[: bounds.DETAIL], draft.now, facts.boot_id if facts is not None else "")
    others = tuple(each for each in operation.vouched if each.node != node)
    draft.state = replace(draft.state, operation=replace(operation, vouched=(*others, word)))


# choosing


def _choose(draft: Draft, *, at_last: bool = False) -> str:
    """Settle who is to be promoted, as things are now; why nobody is, '' if somebody is."""
    operation = draft.running()
    field = _field(draft, at_last=at_last)
    fit, asked = _fit(draft, field), _asked(operation)
    chosen = operation.to if asked and operation.to in fit else fit[0] if fit and not asked else ""
    if chosen != operation.to and not (asked and not chosen):
        draft.state = replace(draft.state, operation=replace(operation, to=chosen))
    if chosen:
        return ""
    if operation.failed and operation.node and _impatient(draft):  # a person who named one wants nobody else
        failed = _all_but(draft, operation.node) if operation.kind is Kind.SWITCHOVER else ()
        again = replace(draft.running(), failed=failed, step_since=draft.now)
        draft.state = replace(draft.state, operation=again)
    return _nobody(draft, field)


def _nobody(draft: Draft, field: candidates.Field) -> str:
    """Why nobody can take over, and what a person may accept."""
    operation = draft.running()
    why = {name: why for name, (why, _) in field.unfit.items()}
    if operation.kind is Kind.SWITCHOVER:
        name = operation.to if _asked(operation) else operation.node
        return f"{name} cannot be promoted: {name} {why.get(name, 'is not known to be stopped')}"
    names = [name for name in why if name != operation.node]
    if not operation.node:
        names = [name for name in names if name not in operation.failed] or names
    held = f"nobody can take over: {'; '.join(f'{n} {why[n]}' for n in names) or 'there is no other node'}"
    if not (field.loses and operation.node):
        return held
    if accepts := operation.accepts:
        held += f". Accepted was {accepts.node} without {candidates.amount(accepts.seconds)}"
    most = next(iter(field.loses))
    return f"{held}. To promote {most} all the same: mailward failover {operation.node} --force"


def _field(draft: Draft, *, at_last: bool = False) -> candidates.Field:
    operation = draft.running()
    return candidates.field(draft.situation, operation.node, operation, at_last=at_last)


def _fit(draft: Draft, field: candidates.Field) -> list[str]:
    return [name for name in field.fit if name != draft.running().node or _may_reopen(draft)]


def _asked(operation: Operation) -> bool:
    """Whether it is still on its way to the one that a person has asked for."""
    return operation.kind is Kind.SWITCHOVER and not operation.failed


def _may_pass(draft: Draft) -> bool:
    """Whether the one asked for is held by what is merely not known, and not for long."""
    _, known = _field(draft).unfit.get(draft.running().to, ("", True))
    return not known and not _impatient(draft)


def _all_but(draft: Draft, node: str) -> tuple[str, ...]:
    return tuple(each.name for each in draft.policy.nodes if each.name != node)


def _may_reopen(draft: Draft) -> bool:
    """The source is opened again only where it was stopped for certain."""
    return bool(ladder.stopped(draft.situation, draft.running().node))


# moving


def _rescue(draft: Draft) -> str:
    """The last chance for what the source still has, and the limit of what may be left behind (I5)."""
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    held = _choose(draft, at_last=True)
    lost_s = candidates.loss_s(draft.situation, operation.node, draft.running().to)
    reachable = bool(operation.node) and _reachable(draft, operation.node)
    waited_s = operation.step_since.age_s(draft.now)
    if lost_s != 0.0 and reachable and waited_s < rules.rescue_s:
        return f"pulling what {operation.node} still has, for up to {rules.rescue_s:g} s"
    if reachable and waited_s < rules.rescue_s and _recovers(draft, operation.node):
        return f"{operation.node} answers again; waiting for the verdict to turn"
    if held:
        return held
    if _in_doubt(draft):
        return ""
    if lost_s is None or lost_s > 0.0:
        lacks = candidates.amount(lost_s)
        draft.note(f"{draft.running().to} may lack {lacks} of the mail of {operation.node}")
    _demote_first(draft)
    return ""


def _reachable(draft: Draft, node: str) -> bool:
    """Whether a stopped node may still give what it has: its helper answers, or did when it closed the
    ports."""
    if draft.sight.nodes[node].facts is not None:
        return True
    record = draft.state.ports_of(node)
    began_s = draft.running().started.age_s(draft.now)
    closed = record is not None and record.fence is FenceOutcome.CONFIRMED
    return closed and record is not None and record.at.age_s(draft.now) <= began_s


def _recovers(draft: Draft, node: str) -> bool:
    """Whether all of a node's newest dialogues went well, and some verdict has not turned yet."""
    judged = [draft.judgements[node, endpoint.name] for endpoint in draft.policy.endpoints_of(node)]
    failing = [judgement for judgement in judged if judgement.condition in FAILING]
    return bool(failing) and all(judgement.recovering for judgement in failing)


def _catch_up(draft: Draft) -> str:
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    waited_s = operation.step_since.age_s(draft.now)
    if _failing(draft, operation.node):
        _become_failover(draft)
        return ""
    lost_s = candidates.loss_s(draft.situation, operation.node, operation.to)
    if held := _choose(draft):
        if _may_pass(draft):
            return held
        _turn_back(draft, held)
        return ""
    accepted_s = candidates.accepted_s(draft.situation, operation, operation.to)
    if (inf if lost_s is None else lost_s) <= accepted_s:
        if not _in_doubt(draft):
            _demote_first(draft)
        return ""
    if waited_s >= rules.catch_up_wait_s:
        _turn_back(draft, f"{operation.to} had not caught up in {rules.catch_up_wait_s:.0f} s")
        return ""
    return f"{operation.to} is catching up with {operation.node}"


def _demote_first(draft: Draft) -> None:
    """Once: what has been ordered of a node that was stopped is done, or is done when that is readmitted."""
    operation, source = draft.running(), draft.running().node
    asked = draft.helper(source).hook is Hook.DEMOTE if source else True
    if asked or source == operation.to or not _helper_answers(draft, source):
        _promote_now(draft)
    else:
        draft.enter(Step.DEMOTE)


def _helper_answers(draft: Draft, node: str) -> bool:
    return draft.policy.node_by_name[node].fenced and draft.sight.nodes[node].facts is not None


def _demote(draft: Draft) -> str:
    """The source is stopped already: a failover waits for a moment and goes on without, planned work goes
    back. How its services do meanwhile is its own business."""
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    source, waited_s = operation.node, operation.step_since.age_s(draft.now)
    attempt = operation.attempt(key_of(OrderPorts(source, {})))
    if attempt is not None and attempt.result is Result.DONE:
        _promote_now(draft)
        return ""
    answered, silent = attempt is not None and attempt.result is not None, not _helper_answers(draft, source)
    why = f"{source} is not demoted" + (f": {attempt.detail}" if attempt and attempt.detail else "")
    if operation.kind is Kind.SWITCHOVER and not operation.failed:
        if silent and waited_s >= rules.takeover_after_s:
            _become_failover(draft)
        elif answered:
            _turn_back(draft, why)
        else:
            return f"{source} is being demoted"
        return ""
    if answered or silent or waited_s >= rules.demote_s:
        draft.note(f"{why}; it is when it comes back")
        _promote_now(draft)
        return ""
    return f"{source} is being demoted, for up to {rules.demote_s:g} s"


def _promote_now(draft: Draft) -> None:
    draft.enter(Step.PROMOTE)
    _set(draft, draft.running().to, Phase.PROMOTING)


def _turn_back(draft: Draft, why: str) -> None:
    """A switchover goes back: everybody but the source has to be stopped, then that is opened again."""
    draft.note(why)
    operation = draft.running()
    others = _all_but(draft, operation.node)
    draft.state = replace(draft.state, operation=replace(operation, to=operation.node, failed=others))
    draft.enter(Step.FENCE)


def _in_doubt(draft: Draft) -> bool:
    """Whether somebody is to be closed once more before anybody is opened: then it goes back to fencing."""
    operation = draft.running()
    if not ladder.to_be_stopped(draft.situation, operation, operation.to):
        return False
    draft.enter(Step.FENCE)
    return True


def _not_stopped_any_more(draft: Draft) -> str:
    """Back to fencing when somebody who was stopped may serve again."""
    operation = draft.running()
    left = ladder.not_stopped(draft.situation, operation, operation.to)
    if not left:
        return ""
    draft.note(f"{', '.join(left)} may serve again")
    draft.enter(Step.FENCE)
    return f"{', '.join(left)} may serve again"


def _promote(draft: Draft) -> str:
    operation = draft.running()
    if left := ladder.not_stopped(draft.situation, operation, operation.to):
        return _step_back(draft, f"{', '.join(left)} may serve again")
    key = key_of(OrderPorts(operation.to, {}))
    attempt = operation.attempt(key)
    if attempt is not None and attempt.result is Result.DONE:
        draft.enter(Step.CHECK)
        return ""
    why = f"{operation.to} is being opened" + (f": {attempt.detail}" if attempt and attempt.detail else "")
    runs = attempt is not None and attempt.result is None and _helper_answers(draft, operation.to)
    return _failed(draft, why) if _impatient(draft) and not runs else why


def _check(draft: Draft) -> str:
    operation = draft.running()
    if left := ladder.not_stopped(draft.situation, operation, operation.to):
        return _step_back(draft, f"{', '.join(left)} may serve again")
    if _closed_since(draft):
        return ""
    progress = operations.checked(operation, _cases(draft, operation.to))
    if progress.turn is Turn.GIVE_UP:
        return _failed(draft, progress.reason)
    if progress.turn is Turn.WAIT:
        return progress.reason
    _set(draft, operation.to, Phase.IN_SERVICE)
    _set_aside_who_left(draft)
    if operation.to != operation.node:
        _note_who_moved_it(draft)
    draft.enter(Step.PUBLISH)
    return ""


def _note_who_moved_it(draft: Draft) -> None:
    """What a failover has moved by itself may go back by itself (`failback`)."""
    operation = draft.running()
    by_itself = operation.node and operation.kind is Kind.FAILOVER and operation.cause is not Cause.OPERATOR
    homing = replace(draft.state.homing, moved_to=operation.to if by_itself else "")
    draft.state = replace(draft.state, homing=homing)


def _set_aside_who_left(draft: Draft) -> None:
    """Who was stopped stands by after planned work, and is out where it has failed."""
    operation = draft.running()
    for node in draft.policy.nodes:
        records = draft.state.phases_of(node.name)
        if not records or records[0].phase is not Phase.DEMOTING:
            continue
        if operation.kind is Kind.SWITCHOVER and node.name == operation.node:
            _set(draft, node.name, Phase.STANDBY)
        else:
            cause = operation.cause if node.name == operation.node else Cause.SERVICE
            _set(draft, node.name, Phase.OUT, cause, operation.reason)


def _cases(draft: Draft, node: str) -> tuple[Case, ...]:
    return tuple(Case(draft.situation, node, endpoint) for endpoint in draft.policy.endpoints_of(node))


def _failed(draft: Draft, why: str) -> str:
    """Who was to be promoted cannot be: it is stopped, and the next one tried."""
    operation = draft.running()
    others = _all_but(draft, operation.node) if operation.kind is Kind.SWITCHOVER else ()
    failed = tuple(dict.fromkeys((*operation.failed, *others, operation.to)))
    draft.state = replace(draft.state, operation=replace(operation, failed=failed))
    return _step_back(draft, f"{operation.to} was not promoted: {why}")


def _step_back(draft: Draft, why: str) -> str:
    """To fencing, with whoever is best then. Who was promoted already, and has failed since, serves: it is
    opened again, or leaves by gates that ask for somebody to leave it to (I8)."""
    promoted = draft.running().to
    if _is(draft, promoted, Phase.IN_SERVICE):
        give_way(draft, why)
        return why
    draft.note(why)
    draft.notices.append(why)
    _set(draft, draft.running().to, Phase.DEMOTING)
    draft.state = replace(draft.state, operation=replace(draft.running(), to=""))
    draft.enter(Step.FENCE)
    return why


def _publish(draft: Draft) -> str:
    """What some name server does not take now is tried again where the rest is verified."""
    operation = draft.running()
    if _closed_since(draft):
        return ""
    undone = [
        target
        for target in operations.targets_of(draft.policy, operation)
        if draft.state.target(target).published != desired_rrsets(draft.policy, draft.state, target)
    ]
    if undone and not _impatient(draft):
        doubt = "" if known_to_serve(draft, operation.to) else f": {operation.to} is not known to serve"
        return f"{', '.join(undone)} not published yet{doubt}"
    draft.enter(Step.VERIFY)
    return ""


def _closed_since(draft: Draft) -> bool:
    """Whether who was promoted has closed its ports since, as at a reboot: then it is opened once more. Where
    nobody would renew its lease it is not: another is tried, or, where it is recorded to serve already, that
    is a failure like any other."""
    operation = draft.running()
    if not ladder.closed_by_itself(draft.situation, operation.to):
        return False
    if alone := leases.unattended(draft.situation, operation.to):
        if _is(draft, operation.to, Phase.IN_SERVICE):
            return False
        _failed(draft, f"it {alone}")
        return True
    draft.note(f"{operation.to} has closed its ports since, and is opened again")
    draft.enter(Step.PROMOTE)
    return True


def _verify(draft: Draft) -> str:
    operation = draft.running()
    if _closed_since(draft):
        return ""
    actions = operations.wanted(draft.policy, draft.state, operation)
    progress = operations.progress(operation, _cases(draft, operation.to), actions)
    if progress.turn is Turn.WAIT:
        return progress.reason
    if progress.turn is Turn.GIVE_UP:
        command = "check the DNS target, then: mailward explain"
        draft.notices.append(
            f"{operation.kind} of {operation.node} handed over: {progress.reason}; {command}"
        )
        draft.end(Ending.HANDED_OVER, f"{progress.reason}; {command}")
        return ""
    if progress.reason:
        draft.note(progress.reason)
    back = operation.to == operation.node
    draft.end(Ending.ROLLED_BACK if back else Ending.DONE, "; ".join(draft.running().notes))
    return ""


def _impatient(draft: Draft) -> bool:
    return draft.running().step_since.age_s(draft.now) >= draft.policy.rules.step_patience_s


def _set(draft: Draft, node: str, phase: Phase, cause: Cause = Cause.NONE, detail: str = "") -> None:
    for record in draft.state.phases_of(node):
        if (node, record.endpoint) in draft.policy.pairs:
            draft.set_phase(node, record.endpoint, phase, cause, detail)


_STEPS: Mapping[Step, Callable[[Draft], str]] = {
    Step.FENCE: _fence,
    Step.RESCUE: _rescue,
    Step.CATCH_UP: _catch_up,
    Step.DEMOTE: _demote,
    Step.PROMOTE: _promote,
    Step.CHECK: _check,
    Step.PUBLISH: _publish,
    Step.VERIFY: _verify,
}


# beginning


def begin(
    draft: Draft, kind: Kind, source: str, cause: Cause, reason: str, *, to: str = "", row: int = 0,
    request: str | None = None, force: bool = False, failed: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Start to move service away from `source` ('' where nobody serves)."""
    names = [endpoint.name for endpoint in draft.policy.endpoints]
    operation = operations.operation_of(draft, kind, source, names, cause, reason, row, request, Step.FENCE)
    draft.start(replace(operation, to=to, failed=failed))
    if force and source:
        _accept(draft, to)
    _set(draft, source, Phase.DEMOTING, cause, reason)


def _accept(draft: Draft, to: str = "") -> None:
    """A person insists: what is lacking now is accepted, of the one who would be promoted now."""
    operation = draft.running()
    accepts = candidates.acceptable(draft.situation, operation.node, operation, to)
    if accepts is not None:
        draft.state = replace(draft.state, operation=replace(operation, accepts=accepts))
        draft.note(f"by hand: {accepted(draft)}")


def accepted(draft: Draft) -> str:
    """What a person has accepted of the running operation, in words; '' where that is nothing."""
    operation = draft.running()
    accepts = operation.accepts
    if accepts is None:
        return ""
    lacks = candidates.amount(accepts.seconds)
    return f"{accepts.node} may be promoted though it may lack {lacks} of the mail of {operation.node}"


def serve_at_once(draft: Draft) -> str:
    """Why nothing is done in a cluster of which several nodes are recorded to serve, as a hybrid's store has
    it."""
    nodes = sorted({r.node for r in draft.state.phases if r.phase is Phase.IN_SERVICE})
    if draft.policy.deployment is not Deployment.CLUSTER or len(nodes) < 2:
        return ""
    say = "stop mailward, move its store away, and say which one does: mailward state init --active NODE"
    return f"{', '.join(nodes)} are recorded to serve at once, in a cluster: {say}"


def insists(draft: Draft, node: str, *, force: bool) -> bool:
    """Whether a failover of `node` runs already; if a person insists, it goes on whatever mail may be
    missing."""
    operation = draft.state.operation
    if operation is None or not runs(draft.policy, operation) or gives_way(operation):
        return False
    if operation.node != node:
        return False
    if operation.kind is Kind.SWITCHOVER:
        _become_failover(draft, Cause.OPERATOR)
    if force:
        _accept(draft)
    return True


def active(state: State) -> str:
    """The node in service, '' where there is none."""
    return next((r.node for r in state.phases if r.phase is Phase.IN_SERVICE), "")


def gives_way(operation: Operation) -> bool:
    """What has promoted somebody, and only waits to be published or verified, is over when that one fails."""
    return operation.step in (Step.PUBLISH, Step.VERIFY)


def give_way(draft: Draft, why: str) -> None:
    draft.void_what_is_unheard()
    draft.end(Ending.DONE, f"not published or verified everywhere: {why}")
