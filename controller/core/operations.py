"""Operations: their steps, what each step orders, and when it is over.

An operation records the phases it decides and then makes the world agree with them, step by step;
every step's orders are derived anew from the phases (kicks: from the lag), so who takes over simply goes on.
Going out, DNS is first and the client ports follow; coming in, the ports are first. Once each target has
answered, the ports follow if `closing` lets them, and what is not published yet is tried again where the
rest is verified. Repeating, the ports are first as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from mailward.controller.core import bounds, closing, gates
from mailward.controller.core.bounds import MOST_DOUBLINGS
from mailward.controller.core.cases import FAILING, Case, Situation
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import desired_rrsets, order_of_ports
from mailward.model.clock import Moment
from mailward.model.decision import Answered
from mailward.model.fencing import Hook
from mailward.model.health import Vantage, Verdict
from mailward.model.orders import Action, KickReplication, Publish, Result, Verify, key_of
from mailward.model.policy import Deployment, Policy
from mailward.model.replication import Confidence, Lag
from mailward.model.state import Attempt, Cause, Kind, Operation, State, Step

STEPS: Mapping[Kind, tuple[Step, ...]] = {
    Kind.FAILOVER: (Step.PUBLISH, Step.FENCE, Step.VERIFY),
    Kind.DRAIN: (Step.PUBLISH, Step.VERIFY, Step.WAIT_TTL, Step.FENCE),
    Kind.READMIT: (Step.CATCH_UP, Step.OPEN, Step.CHECK, Step.PUBLISH, Step.VERIFY),
    Kind.RECONCILE: (Step.FENCE, Step.PUBLISH, Step.VERIFY),
}
"""Where all serve."""
STEPS_IN_A_CLUSTER: Mapping[Kind, tuple[Step, ...]] = {
    Kind.FAILOVER: (
        Step.FENCE,
        Step.RESCUE,
        Step.DEMOTE,
        Step.PROMOTE,
        Step.CHECK,
        Step.PUBLISH,
        Step.VERIFY,
    ),
    Kind.SWITCHOVER: (
        Step.FENCE,
        Step.CATCH_UP,
        Step.DEMOTE,
        Step.PROMOTE,
        Step.CHECK,
        Step.PUBLISH,
        Step.VERIFY,
    ),
    Kind.DRAIN: (Step.FENCE,),
    Kind.READMIT: (Step.DEMOTE, Step.CATCH_UP),
    Kind.RECONCILE: STEPS[Kind.RECONCILE],
}
"""Where one serves. Of a failover and a switchover it is only told here, as where nothing fails: each step of
`succession` says which is next. A standby is drained by taking it out, and comes back to stand by: demoted
first, since one that has crashed does not know that another serves."""

CLAIM_AGAIN_S = 2.0
"""Between two claims of a target that an operation is to publish to."""
KICK_AGAIN_S = 5.0
"""Before the second kick of a catch-up; doubled each time."""
CHECK_PATIENCE_S = 5.0
"""How long a service just opened may go on failing from outside before the readmission is rolled back.
One that passes again is given `step_patience_s`: up is slower than down."""


def steps_of(policy: Policy, kind: Kind) -> tuple[Step, ...]:
    return (STEPS_IN_A_CLUSTER if policy.deployment is Deployment.CLUSTER else STEPS)[kind]


def operation_of(
    draft: Draft, kind: Kind, node: str, names: list[str], cause: Cause, reason: str, row: int,
    request: str | None, step: Step | None = None,
) -> Operation:  # fmt: skip
    return Operation(
        id=draft.operation_id(), kind=kind, node=node, endpoints=tuple(sorted(names)),
        step=step or steps_of(draft.policy, kind)[0], started=draft.now, step_since=draft.now, cause=cause,
        reason=reason[: bounds.DETAIL], row=row, request=request,
    )  # fmt: skip


def next_step(policy: Policy, operation: Operation) -> Step | None:
    steps = steps_of(policy, operation.kind)
    at = steps.index(operation.step)
    return steps[at + 1] if at + 1 < len(steps) else None


class Turn(Enum):
    """How a step stands."""

    DONE = auto()
    WAIT = auto()
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class Progress:
    turn: Turn
    reason: str = ""


def wanted(situation: Situation, operation: Operation) -> tuple[Action, ...]:
    """The actions the operation's step consists of, from the recorded phases; of a catch-up, from the lag."""
    policy, state, step = situation.snapshot.policy, situation.state, operation.step
    if step is Step.PUBLISH:
        return tuple(Publish(t, desired_rrsets(policy, state, t)) for t in targets_of(policy, operation))
    if step is Step.VERIFY:
        return tuple(_published_or_verified(policy, state, t) for t in targets_of(policy, operation))
    if step in (Step.FENCE, Step.OPEN):
        node = policy.node_by_name.get(operation.node)
        if node is None or not node.fenced:
            return ()
        return (order_of_ports(policy, state, node.name),)
    if step is Step.CATCH_UP:
        return kicks(situation, [node.name for node in policy.nodes if node.replicates])
    if step is Step.DEMOTE:
        return demotion(policy, state, operation.node)
    return ()


def kicks(situation: Situation, names: Iterable[str], *, at_last: bool = False) -> tuple[Action, ...]:
    """Who of `names` is to take up all its mailboxes anew. That makes each of them wait, and many take longer
    than a catch-up may: who is at work on what it has is left to it. `at_last`: not where anything waits."""
    lags: dict[str, list[Lag]] = {}
    for (source, _), lag in situation.sight.lags.items():
        lags.setdefault(source, []).append(lag)
    needy = [n for n in names if n not in lags or any(_needs_a_kick(lag, at_last) for lag in lags[n])]
    return tuple(KickReplication(name) for name in needy)


def _needs_a_kick(lag: Lag, at_last: bool) -> bool:
    """After a restart it is known again when each mailbox was taken up; one that failed is tried again only
    then, or minutes later. At last whatever hangs is to be in the queue again when its way is free."""
    stuck = lag.confidence is not Confidence.KNOWN or (lag.failed_mailboxes or 0) > 0
    return stuck or (at_last and lag.seconds != 0.0)


def demotion(policy: Policy, state: State, name: str) -> tuple[Action, ...]:
    """What is to be ordered of a node that has been stopped, nothing where that was verified since it served
    last."""
    node = policy.node_by_name.get(name)
    if node is None or not node.fenced or state.helper(name).demoted:
        return ()
    return (order_of_ports(policy, state, name, Hook.DEMOTE),)


def _published_or_verified(policy: Policy, state: State, target: str) -> Publish | Verify:
    rrsets = desired_rrsets(policy, state, target)
    return Verify(target, rrsets) if state.target(target).published == rrsets else Publish(target, rrsets)


def unpublished(policy: Policy, state: State) -> tuple[str, ...]:
    """The DNS targets of the running operation that are not known to hold what is recorded."""
    operation = state.operation
    targets = targets_of(policy, operation) if operation is not None else ()
    return tuple(t for t in targets if state.target(t).published != desired_rrsets(policy, state, t))


def targets_of(policy: Policy, operation: Operation) -> tuple[str, ...]:
    """The DNS targets an operation's endpoints are on; all of them when it names none."""
    names = operation.endpoints or tuple(policy.endpoint_by_name)
    touched = [t for name in names if name in policy.endpoint_by_name
               for t in policy.endpoint_by_name[name].targets]  # fmt: skip
    return tuple(target for target in policy.targets if target in touched)


def may_retry(attempt: Attempt | None, age_s: float, policy: Policy) -> bool:
    """Whether an action, last ordered `age_s` ago, may be ordered now: never while out or done. A kick
    is never done for good: a replicator proves itself by one that came after it was first looked at."""
    if attempt is None:
        return True
    doublings = min(max(attempt.tries - 1, 0), MOST_DOUBLINGS)
    if attempt.result is Result.DONE and attempt.key.startswith("kick-replication:"):
        return age_s >= KICK_AGAIN_S * 2.0**doublings
    if attempt.result is None or attempt.result is Result.DONE:
        return False
    return age_s >= min(policy.rules.retry_s * 2.0**doublings, policy.rules.retry_max_s)


def claim_is_due_again(operation: Operation, claim: Attempt, now: Moment) -> bool:
    """An operation that is to publish claims what it publishes to at once, and again and again: a name server
    that was away for long is otherwise tried every half minute, and it may just have come back."""
    if operation.step is not Step.PUBLISH:
        return False
    return not _tried_since(operation, claim, now) or claim.last.age_s(now) >= CLAIM_AGAIN_S


def _tried_since(operation: Operation, claim: Attempt, now: Moment) -> bool:
    """Whether a claim was sent since the running step began."""
    return claim.last.age_s(now) <= operation.step_since.age_s(now)


def progress(operation: Operation, cases: tuple[Case, ...], actions: tuple[Action, ...]) -> Progress:
    """How the running step stands. `cases`: one for each of the operation's endpoints."""
    return _PROGRESS[operation.step](_At(operation, cases, actions))


@dataclass(frozen=True, slots=True)
class _At:
    operation: Operation
    cases: tuple[Case, ...]
    actions: tuple[Action, ...]

    @property
    def policy(self) -> Policy:
        return self.cases[0].snapshot.policy

    @property
    def situation(self) -> Situation:
        return self.cases[0].situation

    @property
    def age_s(self) -> float:
        return self.operation.step_since.age_s(self.cases[0].snapshot.now)

    @property
    def impatient(self) -> bool:
        return self.age_s >= self.policy.rules.step_patience_s

    def attempts(self) -> tuple[tuple[str, Attempt | None], ...]:
        known = {attempt.key: attempt for attempt in self.operation.attempts}
        keys = [key_of(action) for action in self.actions]
        return tuple((key, known.get(key)) for key in keys)

    def undone(self) -> str:
        """What is not done yet and why, '' when all is."""
        found = []
        for action, (key, attempt) in zip(self.actions, self.attempts(), strict=True):
            if attempt is None:
                found.append(f"{key}: {self._not_claimed(action) or 'not yet sent'}")
            elif attempt.result is not Result.DONE:
                found.append(f"{key}: {attempt.detail or attempt.result or 'under way'}")
        return "; ".join(found)

    def _not_claimed(self, action: Action) -> str:
        """Why nothing can be sent to a DNS target yet, '' where that is not the reason."""
        if not isinstance(action, Publish | Verify):
            return ""
        state = self.cases[0].state
        record = state.target(action.target)
        if record.claimed_in(state.epoch):
            return ""
        why = record.claim.detail if record.claim is not None else ""
        return f"not claimed yet{f' ({why})' if why else ''}"

    def answered(self) -> bool:
        """Whether every target has answered that may be written to; one that is asked again has before. What
        was answered before a doubt does not count."""
        state = self.cases[0].state
        asked = [a for a in self.actions if isinstance(a, Publish)]
        for record in (state.target(a.target) for a in asked):  # one that may soon be claimed is waited for
            if record.claimed_in(state.epoch):
                continue
            if record.claim is None or record.claim.result is None:
                return False
            if not _tried_since(self.operation, record.claim, self.cases[0].snapshot.now):
                return False
        asked = [a for a in asked if state.target(a.target).claimed_in(state.epoch)]
        attempts = [self.operation.attempt(key_of(action)) for action in asked]
        return bool(attempts) and all(
            a is not None and (a.tries > 1 or (a.tries == 1 and a.result is not None)) for a in attempts
        )


def _publish(at: _At) -> Progress:
    undone = at.undone()
    if not undone:
        return Progress(Turn.DONE)
    if at.operation.kind is not Kind.DRAIN and at.answered() and not _left_open(at):
        return Progress(Turn.DONE, f"not published yet: {undone}")
    return Progress(Turn.GIVE_UP if at.impatient else Turn.WAIT, undone)


def _left_open(at: _At) -> str:
    """What publishing on the way out waits for, '' if the ports may follow: a second try as well, except
    of a target that has taken it or that cannot be claimed. What is to be void is so at once when a try is
    taken: so it is waited for here, and tried again meanwhile."""
    if at.operation.kind is not Kind.FAILOVER or not at.policy.node_by_name[at.operation.node].fenced:
        return ""
    tried_once = any(a.tries == 1 and a.result is not Result.DONE for _, a in at.attempts() if a)
    patient = tried_once or at.age_s < closing.PATIENCE_S
    left_open = closing.left_open(at.situation, at.operation.node, even_failing=patient)
    return left_open or closing.may_yet_be_put_in(at.situation, at.operation.node)


def _verify(at: _At) -> Progress:
    """A server that lags is named, and does not keep the operation open for ever; one that took nothing
    is a human's business."""
    undone = at.undone()
    if not undone:
        return Progress(Turn.DONE)
    if at.impatient:
        if any(isinstance(action, Publish) for action in at.actions):
            return Progress(Turn.GIVE_UP, f"not published: {undone}")
        return Progress(Turn.DONE, f"not verified everywhere: {undone}")
    return Progress(Turn.WAIT, undone)


def _fence(at: _At) -> Progress:
    """In a hybrid nothing waits for the fence: one answer, whatever it is, ends the step, and so does what
    must stay open for now."""
    for _, attempt in at.attempts():
        if attempt is None:
            held = closing.left_open(at.situation, at.operation.node)
            if held:
                return Progress(Turn.DONE, f"left open: {held}")
            for_now = closing.may_yet_be_put_in(at.situation, at.operation.node)
            if for_now:
                return Progress(Turn.WAIT, for_now)
        if attempt is None or attempt.result is None:
            return Progress(Turn.WAIT, "waiting for the fence")
        if attempt.result is not Result.DONE:
            return Progress(Turn.DONE, f"fence not confirmed: {attempt.detail}")
    return Progress(Turn.DONE)


def _open(at: _At) -> Progress:
    undone = at.undone()
    if not undone:
        return Progress(Turn.DONE)
    return Progress(Turn.GIVE_UP if at.impatient else Turn.WAIT, undone)


def _demote(at: _At) -> Progress:
    """What is being run has its own end."""
    undone = at.undone()
    if not undone:
        return Progress(Turn.DONE)
    runs = any(attempt is not None and attempt.result is None for _, attempt in at.attempts())
    return Progress(Turn.GIVE_UP if at.impatient and not runs else Turn.WAIT, f"not demoted: {undone}")


def _wait_ttl(at: _At) -> Progress:
    ttl = max(case.endpoint.ttl_s for case in at.cases)
    if at.age_s >= ttl:
        return _with_a_successor(at, ttl + at.policy.rules.step_patience_s)
    if all(case.judgement.condition in FAILING for case in at.cases):
        return Progress(Turn.DONE, "failed while draining")
    return Progress(Turn.WAIT, f"clients may hold the old answer for {ttl - at.age_s:.0f} s more")


def _with_a_successor(at: _At, patience_s: float) -> Progress:
    """I8: the node is closed only while somebody else is known to serve."""
    for case in at.cases:
        finding = gates.successor(case)
        if finding.answer is not Answered.YES:
            return Progress(Turn.GIVE_UP if at.age_s >= patience_s else Turn.WAIT, finding.reason)
    return Progress(Turn.DONE)


def _catch_up(at: _At) -> Progress:
    for case in at.cases:
        finding = gates.well(case)
        if finding.answer is Answered.NO:
            return Progress(Turn.GIVE_UP, finding.reason)
        if finding.answer is Answered.UNKNOWN:
            return _patiently(at, finding.reason)
    if any(attempt is None or attempt.result is None for _, attempt in at.attempts()):
        return Progress(Turn.WAIT, "asking both sides to replicate what waits")
    for case in at.cases:
        for gate in (gates.helper_answers, gates.caught_up):
            finding = gate(case)
            if finding.answer is not Answered.YES:
                return _patiently(at, finding.reason)
    alone = [f.reason for f in map(gates.caught_up, at.cases) if f.reason.startswith(gates.LAST_RESORT)]
    return Progress(Turn.DONE, alone[0] if alone else "")


def _patiently(at: _At, reason: str) -> Progress:
    patience = at.policy.rules.catch_up_wait_s
    if at.age_s >= patience:
        return Progress(Turn.GIVE_UP, f"not caught up in {patience:.0f} s: {reason}")
    return Progress(Turn.WAIT, reason)


def checked(operation: Operation, cases: tuple[Case, ...]) -> Progress:
    """Whether every service of the cases answers from outside, whatever step runs."""
    return _check(_At(operation, cases, ()))


def _check(at: _At) -> Progress:
    """Every service answers from outside, through its open port, before clients are sent there."""
    views = [case.sight.nodes[case.node].services[s] for case in at.cases for s in case.endpoint.services]
    missing = [v for v in views if v.verdict is not Verdict.UP or v.vantage is not Vantage.DIRECT]
    down = [view for view in missing if view.verdict is Verdict.DOWN and not view.recovering]
    if not missing:
        return Progress(Turn.DONE)
    first = (down or missing)[0]
    refused = bool(down) and at.age_s >= CHECK_PATIENCE_S
    return Progress(
        Turn.GIVE_UP if at.impatient or refused else Turn.WAIT,
        f"{first.service} has not yet answered from outside: {first.evidence}",
    )


_PROGRESS = {
    Step.PUBLISH: _publish,
    Step.VERIFY: _verify,
    Step.FENCE: _fence,
    Step.DEMOTE: _demote,
    Step.OPEN: _open,
    Step.WAIT_TTL: _wait_ttl,
    Step.CATCH_UP: _catch_up,
    Step.CHECK: _check,
}
