"""The ladder: by what a node is known to be stopped, and which rung is tried next. Pure.

A node is stopped when its helper has acknowledged just the order that closes every client port and these were
seen to refuse, as far as the policy's `fence_scope` wants it; or when its lease is over (`leases`); or when
its power was read back off; or when a person vouches for it, for one operation (I4). What was so may be over,
and that is recorded as soon as it is seen (`note`): who is cut off after it was opened must not count as
stopped again: ports are opened by hand, a firewall is loaded anew, and who answers is not off.

A firewall that cannot be read (`applied` None) says neither. What was closed and seen to refuse longer than
`step_patience_s` ago is then in doubt before anybody else is opened (`to_be_stopped`): it is closed once
more, and seen to refuse. Nothing of that doubt is recorded: one reading that fails takes nothing back, who
was opened meanwhile is not closed for it, and it is over with the next reading, or when the helper falls
silent.

Rungs are tried in their order, the next one when all before it have answered and none has confirmed; a lease
that ends by itself is waited for, and what comes after it left alone. Then each is tried again, after a pause
that doubles: what failed may work now, and what nobody heard of may have worked. Nobody is switched off while
nobody can take over (I8), and by planned work nobody but who was opened by it in vain, and has failed."""

from dataclasses import dataclass, replace
from typing import assert_never

from mailward.controller.core.bounds import EXPIRY_MARGIN_S
from mailward.controller.core.cases import Situation, answers_clients, facts_since, failing_for_long
from mailward.controller.core.cluster import leases
from mailward.controller.core.draft import Draft
from mailward.controller.core.operations import may_retry
from mailward.controller.core.phases import order_of_ports
from mailward.model.fencing import FenceOutcome, Scope, opens
from mailward.model.orders import Action, PowerOff, Result, key_of
from mailward.model.policy import Automation, Deployment, Node, Rung, RungKind
from mailward.model.state import Attempt, Kind, Operation, Phase, Vouched


def stopped(situation: Situation, node: str) -> str:
    """By what a node is known to be stopped, '' if it is not."""
    if _is_off(situation, node):
        return "it is switched off"
    record, wanted = situation.state.ports_of(node), situation.snapshot.policy.rules.fence_scope
    if record is None:
        return ""
    if record.closed and record.scope.covers(wanted):
        return "its client ports are closed, seen from outside"
    if record.lapsed is not None and Scope.USERS.covers(wanted):
        return "its lease has run out"
    return ""


def note(draft: Draft) -> None:
    """Record of every node that counted as stopped, as soon as it is seen that it is not; of a person's word
    as well."""
    if draft.policy.deployment is not Deployment.CLUSTER:
        return
    situation = draft.situation
    for node in draft.policy.nodes:
        answers, opened = what_is_over(situation, node.name)
        if answers:
            draft.forget_power(node.name)
        record = draft.ports_of(node.name)
        if opened and record is not None:
            draft.put_ports(
                replace(record, fence=FenceOutcome.UNKNOWN, detail="its helper shows other ports")
            )
    operation = draft.state.operation
    if operation is not None:
        kept = tuple(word for word in operation.vouched if counts(situation, word))
        if kept != operation.vouched:
            draft.state = replace(draft.state, operation=replace(operation, vouched=kept))


def what_is_over(situation: Situation, node: str) -> tuple[bool, bool]:
    """Whether a node that was off has answered since; whether one that was closed says that it is not."""
    power, ports = situation.state.power_of(node), situation.state.ports_of(node)
    answers = (
        power is not None
        and _is_off(situation, node)
        and (answers_clients(situation, node) or facts_since(situation, node, power.at) is not None)
    )
    facts = facts_since(situation, node, ports.at) if ports is not None and ports.closed else None
    if ports is None or facts is None:
        return answers, False
    writes = ports.scope is Scope.WRITES and facts.stopped is False
    return answers, facts.forced or facts.applied is False or opens(facts.ports) or writes


def closed_by_itself(situation: Situation, node: str) -> bool:
    """Whether a node that was ordered open says since that its firewall shows something else, or that its
    lease has run out."""
    record = situation.state.ports_of(node)
    facts = facts_since(situation, node, record.at) if record is not None else None
    return facts is not None and (facts.applied is False or leases.lapsed(facts))


def serves_and_is_closed(situation: Situation) -> str:
    """The node of a cluster that serves, has closed its ports by itself, as at a boot or where nobody has
    renewed its lease, and may be opened; '' where that is not so. While automation only observes the others
    are nobody's business."""
    policy = situation.snapshot.policy
    acts = policy.automation is Automation.ACT
    for node in policy.nodes if policy.deployment is Deployment.CLUSTER else ():
        facts, record = situation.sight.nodes[node.name].facts, situation.state.ports_of(node.name)
        serves = any(each.phase is Phase.IN_SERVICE for each in situation.state.phases_of(node.name))
        if not serves or facts is None or facts.forced or leases.unattended(situation, node.name):
            continue
        if facts.applied is not False and not leases.lapsed(facts):
            continue
        ordered = facts.token is not None
        if record is not None:
            ordered = facts_since(situation, node.name, record.at) is not None
        if ordered and not (acts and not_stopped(situation, None, node.name)):
            return node.name
    return ""


def _is_off(situation: Situation, node: str) -> bool:
    record = situation.state.power_of(node)
    return record is not None and record.off is FenceOutcome.CONFIRMED


def may_yet_go_off(situation: Situation, node: str) -> bool:
    """Whether what was begun may still switch a node off: nobody down there refuses what is late. What an
    earlier leader had begun is over when its time has passed since this epoch was taken up."""
    state, now = situation.state, situation.snapshot.now
    record = state.power_of(node)
    if record is None or record.off is not FenceOutcome.UNKNOWN:
        return False
    since = record.at if record.token.epoch == state.epoch else state.epoch_since
    return since is None or since.age_s(now) <= record.expires_s + EXPIRY_MARGIN_S


def stopped_or_vouched(situation: Situation, operation: Operation | None, node: str) -> str:
    """By what a node is known to be stopped, a person's word for this operation included; '' if it is not."""
    for word in operation.vouched if operation is not None else ():
        if word.node == node and counts(situation, word):
            return f"{word.by} vouches for it"
    return stopped(situation, node)


def counts(situation: Situation, word: Vouched) -> bool:
    """Whether a person's word still counts: not when the helper has answered since, after another boot."""
    facts = facts_since(situation, word.node, word.at)
    return facts is None or facts.boot_id == word.boot_id


def not_stopped(situation: Situation, operation: Operation | None, but: str) -> tuple[str, ...]:
    """The nodes `but` one that are not known to be stopped."""
    names = [node.name for node in situation.snapshot.policy.nodes if node.name != but]
    return tuple(name for name in names if not stopped_or_vouched(situation, operation, name))


def to_be_stopped(situation: Situation, operation: Operation | None, but: str) -> tuple[str, ...]:
    """The nodes `but` one that have to be stopped before that is opened: those not known to be, and those
    that count as closed and whose firewall cannot be read since."""
    left = not_stopped(situation, operation, but)
    names = [node.name for node in situation.snapshot.policy.nodes if node.name != but]
    vouched = [word.node for word in operation.vouched] if operation is not None else []
    doubtful = [n for n in names if n not in vouched and unreadable(situation, n)]
    return tuple(name for name in names if name in left or name in doubtful)


def unreadable(situation: Situation, node: str) -> bool:
    """Whether a node was closed so long ago that it may have changed, and its helper cannot tell any more."""
    record, facts = situation.state.ports_of(node), situation.sight.nodes[node].facts
    if record is None or facts is None or facts.applied is not None or not record.closed:
        return False
    if _is_off(situation, node):
        return False
    snapshot = situation.snapshot
    return record.at.age_s(snapshot.now) >= snapshot.policy.rules.step_patience_s


def open_by_hand(situation: Situation, *but: str) -> str:
    """A node that root has opened by hand, '' if there is none: its ports are left as root wants them until
    an order is due there, and nobody else is opened meanwhile (I4)."""
    views = situation.sight.nodes
    names = [node.name for node in situation.snapshot.policy.nodes if node.name not in but]
    return next((n for n in names if (facts := views[n].facts) is not None and facts.forced), "")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to order now to stop a node (None: nothing), and what each rung has said so far."""

    action: Action | None
    said: str
    answered: bool = False
    """Whether every rung has."""


def choose(situation: Situation, operation: Operation, node: Node) -> Choice:
    """The next rung for a node that is not stopped; nothing is ordered while another is out."""
    policy, now = situation.snapshot.policy, situation.snapshot.now
    said: list[str] = []
    action: Action | None = None
    answered, out = True, False
    for rung in node.ladder:
        if rung.kind is RungKind.LEASE:
            lease = leases.remaining(situation, node.name)
            said.append(f"{rung.kind}: {lease.said}")
            if lease.in_vain:
                continue
            answered = False
            break
        ordered = _action(situation, operation, node, rung)
        if ordered is None:
            continue
        attempt = operation.attempt(key_of(ordered))
        if attempt is None:
            action, answered = ordered, False
            break
        if attempt.result is None:
            out, answered = True, attempt.tries > 1
            said.append(f"{rung.kind}: {'being tried again' if answered else 'no answer yet'}")
            if answered:
                continue
            break
        said.append(f"{rung.kind}: {attempt.detail or attempt.result.value}")
        if action is None and may_retry(_undone(attempt), attempt.last.age_s(now), policy):
            action = ordered
    nothing = "there is no rung" if answered else ""
    return Choice(None if out else action, "; ".join(said) or nothing, answered)


def _undone(attempt: Attempt) -> Attempt:
    """What was done, and does not hold any more, is to be done again."""
    done = attempt.result is Result.DONE
    return Attempt(attempt.key, attempt.tries, attempt.last, Result.UNKNOWN) if done else attempt


def _action(situation: Situation, operation: Operation, node: Node, rung: Rung) -> Action | None:
    match rung.kind:
        case RungKind.ASK | RungKind.HELPER:
            ports = order_of_ports(situation.snapshot.policy, situation.state, node.name)
            return replace(ports, by=rung.kind)
        case RungKind.AGENT:
            return PowerOff(node.name) if _may_be_switched_off(situation, operation, node.name) else None
        case RungKind.LEASE:
            return None  # nothing is ordered: it is waited for
    assert_never(rung.kind)


def _may_be_switched_off(situation: Situation, operation: Operation, node: str) -> bool:
    """Whoever is to take over is known. Planned work that goes back from a target which was lost meanwhile
    leaves nobody serving until that is stopped; whom else it does not reach, it leaves as they are. (A source
    that fails makes a failover of it.)"""
    if not operation.to:
        return False
    if operation.kind is not Kind.SWITCHOVER:
        return True
    given_up = any(record.phase is Phase.DEMOTING for record in situation.state.phases_of(node))
    return given_up and failing_for_long(situation, operation, node)
