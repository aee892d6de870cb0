"""`decide(Snapshot) -> Decision`: one pure step of the controller.

The order of a step: see and judge; take up the epoch, fold outcomes in, admit what is new in the
configuration, look whether somebody else leads, claim, go on with the running operation, take up what was
asked for, start what the gates allow, repeat what is not as recorded, order what the step needs; explain. If
what comes out breaks an invariant, nothing is recorded or sent and the notice says which.
"""

from dataclasses import replace
from math import inf

from mailward.controller.core import doubts, episodes, gates, invariants, operations, outcomes
from mailward.controller.core.admission import admit
from mailward.controller.core.cases import FAILING, Case, Situation
from mailward.controller.core.claims import claim
from mailward.controller.core.closing import left_open, may_yet_be_put_in
from mailward.controller.core.cluster import failback, ladder, leases, succession
from mailward.controller.core.conditions import condition_of
from mailward.controller.core.draft import Draft
from mailward.controller.core.expiry import may_still_arrive
from mailward.controller.core.explain import Explanations
from mailward.controller.core.operations import Turn
from mailward.controller.core.planning import abandon, plan
from mailward.controller.core.publishing import in_scope, with_care
from mailward.controller.core.reconciling import open_again, reconcile
from mailward.controller.core.requests import preflight, refuse_all, take_up, waits_for
from mailward.controller.core.sight import see
from mailward.model.decision import Decision
from mailward.model.orders import (
    Action,
    ClaimHelper,
    ClaimTarget,
    OrderPorts,
    Outcome,
    Publish,
    Result,
    key_of,
)
from mailward.model.policy import Deployment
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Cause, Ending, Kind, Phase, Request, State, Step

_MOST_STEPS = max(map(len, operations.STEPS.values()))
_TROUBLE_S, _BUSY_S, _LASTING_S, _QUIET_S, _FOLLOWING_S = 0.1, 0.25, 0.5, 1.0, 2.0


def decide(snapshot: Snapshot) -> Decision:
    """What to record and send now, and why."""
    if snapshot.standing is Standing.FOLLOWING:  # changes nothing, and looks only when somebody asks
        seen = Explanations(snapshot.policy, lambda: _situation(snapshot))
        return Decision(snapshot.state, (), seen, check_again_s=_FOLLOWING_S)
    draft = Draft(_situation(snapshot))
    if may_act(snapshot):
        _act(draft)
    elif snapshot.standing is Standing.OBSERVING_ONLY:
        _observe(draft)
    situation = draft.situation
    explanations = Explanations(snapshot.policy, lambda: situation)
    if (may_act(snapshot) or snapshot.standing is Standing.OBSERVING_ONLY) and not draft.fatal:
        episodes.note_what_would_have_been_done(draft)
    broken = invariants.violations(snapshot.policy, snapshot.state, draft.state, draft.send)
    if broken:
        return Decision(snapshot.state, (), explanations, notices=broken, broken=broken)
    superseded = draft.state.superseded if may_act(snapshot) else ""
    state = draft.state if draft.state == snapshot.state else replace(draft.state, as_of=snapshot.now)
    waits = state.operation is not None or not state.phases
    return Decision(
        state=state,
        send=tuple(draft.send) if not draft.fatal else (),
        explanations=explanations,
        notices=(*draft.notices, *([superseded] if superseded else ())),
        waits_for=draft.waits_for if waits else "",
        check_again_s=_check_again_s(draft),
        fatal=draft.fatal,
        superseded=superseded,
    )


def _situation(snapshot: Snapshot) -> Situation:
    """Before anything is decided."""
    sight = see(snapshot)
    judgements = {
        pair: condition_of(pair[0], endpoint, sight, snapshot.policy.rules)
        for pair, endpoint in snapshot.policy.pairs.items()
    }
    return Situation(snapshot, snapshot.state, sight, judgements)


def waiting(snapshot: Snapshot) -> dict[str, str]:
    """Of each request that is not answered yet what holds it, by id; '' where nothing does."""
    if not snapshot.requests:
        return {}
    situation = _situation(snapshot)
    return {request.id: waits_for(situation, request) for request in snapshot.requests}


def wrong_with(snapshot: Snapshot, request: Request) -> str:
    """Why a request for later need not be left at all, '' where it may be."""
    return preflight(_situation(snapshot), request)


def who_may_go_back(snapshot: Snapshot) -> tuple[str, str]:
    """In a cluster: the node that is preferred to who serves and could at once, and what holds that it does
    so by itself, '' where that is left to a person; '' and '' where there is none."""
    return failback.offer(_situation(snapshot))


def rehearse(snapshot: Snapshot) -> Decision:
    """What would be decided once all that is claimed first has been; by whoever leads, where others ask."""
    if snapshot.standing is Standing.FOLLOWING:
        snapshot = replace(snapshot, standing=Standing.LEADING, may_act_until_s=inf)
    decision = decide(snapshot)
    claims = [order for order in decision.send if isinstance(order.action, ClaimTarget | ClaimHelper)]
    if not claims:
        return decision
    claimed = tuple(Outcome(order.token, Result.DONE, snapshot.now) for order in claims)
    return decide(replace(snapshot, state=decision.state, outcomes=claimed))


def may_act(snapshot: Snapshot) -> bool:
    """Leading, and the right to act has not ended. How long an action takes is not taken off: each is
    recorded with its expiry before it is sent, and whoever leads next knows how long it may still arrive."""
    return snapshot.standing is Standing.LEADING and snapshot.now.boot_s < snapshot.may_act_until_s


def _observe(draft: Draft) -> None:
    """What a controller records that may not act: where the nodes stand, and what it has seen."""
    outcomes.take_up_epoch(draft)
    admit(draft)
    episodes.keep(draft)
    refuse_all(draft, gates.OBSERVES_ONLY)


def _act(draft: Draft) -> None:
    outcomes.take_up_epoch(draft)
    outcomes.fold(draft)
    if draft.fatal:
        return
    admit(draft)
    admitted = draft.state.phases != draft.snapshot.state.phases
    episodes.keep(draft)
    ladder.note(draft)
    leases.note(draft)
    failback.note(draft)
    outcomes.note_superseded(draft)
    if draft.state.superseded:
        refuse_all(draft, "another controller leads this cluster, or this store is an old copy")
        return
    if several := succession.several_serve(draft):
        draft.waits_for = several
        refuse_all(draft, several)
        return
    claim(draft)
    if admitted or not draft.state.phases:
        return  # where the nodes stand is recorded before anything is made of it
    _advance(draft)
    if draft.ended_one:
        return  # what follows is decided on what is then recorded: one phase to the next, one at a time
    take_up(draft)
    open_again(draft)
    plan(draft)
    reconcile(draft)
    _order_what_the_step_needs(draft)


def _advance(draft: Draft) -> None:
    """Take the running operation as far as its evidence goes."""
    for _ in range(_MOST_STEPS):
        operation = draft.state.operation
        if operation is None:
            return
        if succession.runs(draft.policy, operation):
            succession.advance(draft)
            return
        cases = _cases(draft)
        if not cases:
            draft.end(Ending.ROLLED_BACK, "the configuration no longer has its node or endpoints")
            return
        doubt = doubts.about(operation, cases)
        if doubt.give_up:
            draft.void_what_is_unheard()
            if operation.kind is Kind.FAILOVER:
                _give_up(draft, doubt.why)  # nothing of it is undone
            else:
                abandon(draft, doubt.why)
            return
        if doubt.why:
            draft.waits_for = doubt.why
            _ask_anew(draft)
            if operation.step_since.age_s(draft.now) >= draft.policy.rules.step_patience_s:
                _give_up(draft, doubt.why)
            return
        wanted = operations.wanted(draft.situation, operation)
        actions = in_scope(cases[0].situation, operation, wanted)
        progress = operations.progress(operation, cases, actions)
        if progress.turn is Turn.WAIT:
            draft.waits_for = progress.reason
            return
        if progress.turn is Turn.GIVE_UP:
            dns = operation.step in (Step.PUBLISH, Step.VERIFY)
            _give_up(draft, progress.reason, "check the DNS target, then: " if dns else "")
            return
        if progress.reason:
            draft.note(progress.reason)
            draft.notices.append(f"{operation.kind} of {operation.node or 'DNS'}: {progress.reason}")
        phases = draft.state.phases
        _next(draft)
        if draft.state.phases != phases:
            return  # each phase is recorded, also the one that the next step would leave at once


def _ask_anew(draft: Draft) -> None:
    """For an operation in doubt. Ports that a failover has not ordered closed yet do not follow what some
    name server refused before: it goes back to publishing."""
    operation = draft.running()
    at_its_fence = operation.step is Step.FENCE and not operation.attempts
    if operation.kind is Kind.FAILOVER and at_its_fence and operations.unpublished(draft.policy, draft.state):
        draft.enter(Step.PUBLISH)
    else:
        draft.ask_anew()


def _cases(draft: Draft) -> tuple[Case, ...]:
    """One for each of the operation's endpoints. What only repeats is about no node more than another."""
    operation, policy = draft.running(), draft.policy
    pairs = [(operation.node, name) for name in operation.endpoints]
    if operation.kind is Kind.RECONCILE:
        pairs = [(e.nodes[0], e.name) for e in policy.endpoints]
    return tuple(
        Case(draft.situation, node, policy.endpoint_by_name[name], operation.force)
        for node, name in pairs
        if (node, name) in draft.judgements
    )


def _next(draft: Draft) -> None:
    """The step is done: record what the next one means, or that the operation is over."""
    operation = draft.running()
    step = operations.next_step(draft.policy, operation)
    if step is None and operation.kind is Kind.READMIT and draft.policy.deployment is Deployment.CLUSTER:
        for name in operation.endpoints:
            draft.set_phase(operation.node, name, Phase.STANDBY)
    if step is None:
        draft.end(Ending.DONE, "; ".join(draft.running().notes))
        return
    if operation.kind is Kind.READMIT and step in (Step.OPEN, Step.PUBLISH):
        phase = Phase.PROMOTING if step is Step.OPEN else Phase.IN_SERVICE
        for name in operation.endpoints:
            draft.set_phase(operation.node, name, phase)
    if operation.kind is Kind.DRAIN and step is Step.FENCE:
        for name in operation.endpoints:
            draft.set_phase(operation.node, name, Phase.OUT, Cause.OPERATOR, operation.reason)
    draft.enter(step)


def _give_up(draft: Draft, reason: str, first: str = "") -> None:
    """Every operation ends (I10): rolled back where that is safe, else handed to a human, who is told what
    to look at `first`."""
    operation = draft.running()
    opened = operation.kind is Kind.READMIT and operation.step in (Step.PUBLISH, Step.VERIFY)
    if operation.kind in (Kind.READMIT, Kind.DRAIN) and not opened:
        abandon(draft, reason)
        return
    command = f"{first}mailward explain"
    draft.notices.append(f"{operation.kind} of {operation.node or 'DNS'} handed over: {reason}; {command}")
    draft.end(Ending.HANDED_OVER, f"{reason}; {command}")


def _order_what_the_step_needs(draft: Draft) -> None:
    state, operation = draft.state, draft.state.operation
    if operation is None:
        return
    if succession.runs(draft.policy, operation):
        for action in succession.wanted(draft):
            if operation.step is Step.FENCE or _due(draft, state, action):
                draft.order(action)
        return
    situation = draft.situation
    wanted = operations.wanted(situation, operation)
    due = [a for a in in_scope(situation, operation, wanted) if _due(draft, state, a)]
    if not due:
        return
    held = doubts.about(operation, _cases(draft)).why
    if operation.step is Step.FENCE and not held:
        held = left_open(situation, operation.node) or may_yet_be_put_in(situation, operation.node)
    for action in due:
        if held and isinstance(action, Publish | OrderPorts):
            continue
        if isinstance(action, Publish):
            action = with_care(situation, operation, action)
        draft.order(action)


def _due(draft: Draft, state: State, action: Action) -> bool:
    """Whether it may be ordered now: its target is claimed, and it is not out or done."""
    target = getattr(action, "target", None)
    if target is not None and not state.target(target).claimed_in(state.epoch):
        return False
    if isinstance(action, Publish) and may_still_arrive(state, action.target, draft.now, draft.policy.rules):
        return False
    attempt = draft.attempt(key_of(action))
    age = attempt.last.age_s(draft.now) if attempt else 0.0
    return operations.may_retry(attempt, age, draft.policy)


def _check_again_s(draft: Draft) -> float:
    calm_s = _BUSY_S if draft.state.operation or draft.state.orders else _QUIET_S
    for record in draft.state.phases:
        judgement = draft.judgements.get((record.node, record.endpoint))
        if judgement and record.phase is Phase.IN_SERVICE and judgement.condition in FAILING:
            if judgement.failing_s <= draft.policy.rules.known_restart_grace_s:
                return _TROUBLE_S  # a grace is about to be over
            calm_s = min(calm_s, _LASTING_S)
    return calm_s
