"""The gates of a cluster, where one node serves and others stand by: what is checked before a failover or a
switchover begins. Those that a hybrid has as well are in `gates`.
"""

from collections.abc import Sequence

from mailward.controller.core import gates
from mailward.controller.core.cases import FAILING, WELL, Case, is_well
from mailward.controller.core.cluster import candidates, ladder, leases
from mailward.controller.core.gates import Gate
from mailward.model.decision import Answered, Finding
from mailward.model.fencing import OPEN, PortKind, opens
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Automation, Deployment
from mailward.model.state import Cause, Kind, Phase


def outlasts(case: Case) -> Finding:
    """The gate `takeover`. A promotion can lose mail, and is slower than a withdrawal: a cut of some seconds
    is ridden out."""
    judgement, patience_s = case.judgement, case.snapshot.policy.rules.takeover_after_s
    if judgement.condition not in FAILING:
        return Finding("takeover", Answered.NO, f"nothing has failed: {judgement.evidence}")
    if judgement.recovering:
        return Finding("takeover", Answered.NO, "it answers again; waiting for the verdict to turn")
    if _just_being_opened(case):
        return Finding("takeover", Answered.NO, "its client ports are closed by us, and are being opened")
    if _not_tried_since_opened(case):
        return Finding(
            "takeover", Answered.NO, "its client ports have just been opened: nobody has tried them yet"
        )
    said = f"failing for {gates.lasting(judgement.failing_s)}, a takeover waits for {patience_s:g} s"
    return Finding("takeover", Answered.YES if judgement.failing_s >= patience_s else Answered.NO, said)


def _just_being_opened(case: Case) -> bool:
    """Whether a node in service is closed to its clients since before it was recorded to serve, or before
    anybody led, or is just being opened again: then nobody has tried it yet."""
    state, now, facts = case.state, case.snapshot.now, case.sight.nodes[case.node].facts
    if facts is None or case.record is None or state.epoch_since is None:
        return False
    closed = [s for s in case.endpoint.services if facts.ports.get(s, OPEN).kind is PortKind.CLOSED]
    since, running = [case.record.since, state.epoch_since], state.operation
    if running is not None and running.kind is Kind.RECONCILE and running.node == case.node:
        since.append(running.started)
    young_s = min(moment.age_s(now) for moment in since)
    held = bool(closed) or facts.applied is False or leases.lapsed(facts)
    return held and young_s < case.snapshot.policy.rules.step_patience_s


def _not_tried_since_opened(case: Case) -> bool:
    """Whether its ports have been opened since a probe failed last, as after a reboot: the verdict is of
    before."""
    record = case.state.ports_of(case.node)
    if record is None or not opens(record.ports):
        return False
    opened_s, views = record.at.age_s(case.snapshot.now), case.sight.nodes[case.node].services
    tried = any(views[name].failed_age_s < opened_s for name in case.endpoint.services)
    return not tried and opened_s < case.snapshot.policy.rules.step_patience_s


def heir(case: Case) -> Finding:
    """I8, I5: somebody who can take over, and has the mail."""
    field = candidates.field(case.situation, case.node, None, force=case.force)
    others = [name for name in field.fit if name != case.node]
    if others:
        return Finding("heir", Answered.YES, f"{others[0]} can take over")
    unfit = {name: why for name, why in field.unfit.items() if name != case.node}
    said = "; ".join(f"{name} {why}" for name, (why, _) in unfit.items()) or "there is no other node"
    known = all(known for _, known in unfit.values())
    losers = [name for name in field.loses if name != case.node]
    if not losers:
        return Finding("heir", Answered.NO if known else Answered.UNKNOWN, said, _to_let_in(case))
    command = f"mailward failover {case.node} --force"
    said += f". With --force {losers[0]} is promoted, whatever it lacks now"
    return Finding("heir", Answered.NO if known else Answered.UNKNOWN, said, command)


def _to_let_in(case: Case) -> str:
    """What to type where somebody who is well is out, or waits for mail that does not come: then it stands
    by, and may take over within the allowed loss. '' where there is nobody."""
    for node in case.snapshot.policy.nodes:
        records = case.state.phases_of(node.name)
        well = case.sight.nodes[node.name].facts is not None and is_well(case.situation, node.name)
        away = any(record.phase in (Phase.OUT, Phase.REJOINING) for record in records)
        if node.name != case.node and well and away:
            by_hand = any(record.cause is Cause.OPERATOR for record in records)
            return f"mailward readmit {node.name}{'' if by_hand else ' --force'}"
    return ""


def all_have_obeyed(case: Case) -> Finding:
    """The gate `obeyed` (I4): a helper that has never obeyed anything lets its node boot with open ports.
    Whoever was stopped by its power alone would serve beside the new one when it comes back; for that a
    person has to answer. Where nothing is claimed, since nobody acts, who answers is taken to obey."""
    fenced = [node.name for node in case.snapshot.policy.nodes if node.fenced]
    new = [node for node in fenced if _may_never_have(case, node)]
    if not new:
        return Finding("obeyed", Answered.YES, "every mailward-node has obeyed")
    why = "its mailward-node is not known to have obeyed anything"
    said = f"{', '.join(new)} may boot with open ports: {why}"
    return Finding("obeyed", Answered.UNKNOWN, said, f"mailward failover {case.node}")


def _may_never_have(case: Case, node: str) -> bool:
    """Obeyed anything, as far as this store and its helper tell."""
    facts = case.sight.nodes[node].facts
    if facts is not None and (facts.token is not None or case.situation.only_watches):
        return False
    return case.state.helper(node).claimed is None


def promotable(case: Case) -> Finding:
    """The gate `heir` of one that stands by: whether it could take over now from whoever serves."""
    source = next((r.node for r in case.state.phases if r.phase in _SERVED), "")
    field = candidates.field(case.situation, source, case.state.operation, force=case.force)
    if case.node in field.fit:
        return Finding("heir", Answered.YES, f"{case.node} can take over from {source or 'nobody'}")
    why, known = field.unfit.get(case.node, ("is not recorded", True))
    return Finding("heir", Answered.NO if known else Answered.UNKNOWN, f"{case.node} {why}")


def closed_to_clients(case: Case) -> Finding:
    """The gate `by-hand` (I4): of one that does not serve, whether root has opened it all the same. It stays
    so until an order is due there, or root closes it; nobody else is opened before."""
    if ladder.open_by_hand(case.situation, *(n for n in case.sight.nodes if n != case.node)) != case.node:
        return Finding(BY_HAND, Answered.YES, "nobody has opened it by hand")
    said = f"root has opened {case.node} by hand: two nodes may serve. On {case.node}, as root: {_CLOSE}"
    return Finding(BY_HAND, Answered.NO, said, _CLOSE)


def refuses_clients(case: Case) -> Finding:
    """The gate `refuses` (I4): of one that does not serve while another does, whether it answers clients all
    the same. mailward closes it where it can reach it. Port 25 stays open to the other nodes: so every
    service has to answer. While automation only observes, the others are nobody's business."""
    acts = case.snapshot.policy.automation is Automation.ACT
    serve = {record.node for record in case.state.phases if record.phase is Phase.IN_SERVICE}
    views = case.sight.nodes[case.node].services.values()
    answers = all(view.verdict is Verdict.UP and view.vantage is Vantage.DIRECT for view in views)
    if not acts or not serve - {case.node} or not answers:
        return Finding(REFUSES, Answered.YES, "it does not serve beside another")
    said = "answers clients, and must not: another node serves"
    return Finding(REFUSES, Answered.NO, said, _CLOSE)


BY_HAND, REFUSES, _CLOSE = "by-hand", "refuses", "mailward-node close"
_SERVED = (Phase.IN_SERVICE, Phase.DEMOTING)


WITHDRAW: tuple[Gate, ...] = (
    gates.acting, gates.not_paused, gates.votes, gates.self_trust, outlasts, all_have_obeyed, heir,
    gates.rate, gates.claimed, gates.one_operation,
)  # fmt: skip
WITHDRAW_BY_HAND: tuple[Gate, ...] = (
    gates.not_paused, gates.votes, heir, gates.claimed, gates.one_operation,
)  # fmt: skip
STANDING_BY: tuple[Gate, ...] = (gates.votes, promotable, closed_to_clients, refuses_clients)
"""What is told of a standby; what makes it serve are the gates of whoever serves."""
AGAIN: tuple[Gate, ...] = (
    gates.acting, gates.not_paused, gates.votes, gates.self_trust, all_have_obeyed, heir, gates.claimed,
    gates.one_operation,
)  # fmt: skip
"""Before a failover that was handed over is taken up again."""
STAND_DOWN: tuple[Gate, ...] = (gates.not_paused, gates.claimed, gates.one_operation)
"""Before a standby is taken out: nobody uses it."""


def withdraw(case: Case, *, by_hand: bool = False) -> Sequence[Gate]:
    """The gates before a node leaves service, in this deployment."""
    if case.snapshot.policy.deployment is Deployment.CLUSTER:
        return WITHDRAW_BY_HAND if by_hand else WITHDRAW
    return gates.WITHDRAW_BY_HAND if by_hand else gates.WITHDRAW


def before_switchover(case: Case, to: str) -> tuple[Finding, ...]:
    """What holds a switchover from a case's node to another, nothing when it may begin."""
    found = [gate(case) for gate in (gates.not_paused, gates.votes, gates.claimed, gates.one_operation)]
    field = candidates.field(case.situation, case.node, None, force=case.force)
    if to not in field.fit:
        why, known = field.unfit.get(to, ("is not configured", True))
        command = f"mailward switchover {to} --force" if to in field.loses else ""
        found.append(Finding("heir", Answered.NO if known else Answered.UNKNOWN, f"{to} {why}", command))
    third = [n for n in ladder.to_be_stopped(case.situation, None, to) if n != case.node]
    if third:
        said = f"{', '.join(third)} is not known to be stopped, and would have to be first"
        found.append(Finding("others", Answered.UNKNOWN, said, f"mailward explain {third[0]}"))
    if case.judgement.condition not in WELL:
        said = f"{case.node} is {case.judgement.condition}: {case.judgement.evidence}"
        found.append(Finding("well", Answered.NO, said, f"mailward failover {case.node}"))
    return tuple(f for f in found if f.answer is not Answered.YES)
