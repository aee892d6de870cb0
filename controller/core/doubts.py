"""Doubts: why what was decided must not be done now, as things have come to be since.

An operation was decided on what was seen then. Since then a controller may have died, or stood still, and
another goes on; another node may have failed. Before each of its orders an operation is asked again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailward.controller.core import gates
from mailward.controller.core.cases import FAILING, WELL, Behind, Case, Situation
from mailward.controller.core.cluster import leases
from mailward.controller.core.conditions import Judgement
from mailward.controller.core.operations import targets_of
from mailward.controller.core.phases import port_map
from mailward.model.decision import Answered
from mailward.model.fencing import PortKind
from mailward.model.policy import Automation, Deployment
from mailward.model.state import Cause, Kind, Operation, Step


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an operation must not go on, '' if it may: then it waits, or is given up at once."""

    why: str = ""
    give_up: bool = False


def about(operation: Operation, cases: tuple[Case, ...]) -> Doubt:
    """`cases`: one for each of the operation's endpoints."""
    situation, names = cases[0].situation, operation.endpoints
    if situation.snapshot.policy.deployment is Deployment.CLUSTER:
        return Doubt()  # nobody who serves is left here: `succession` and `reconciling` guard that
    repeats_ports = operation.kind is Kind.RECONCILE and operation.step is Step.FENCE
    if repeats_ports and closes_nothing(situation, operation.node):
        return Doubt()
    lost = ""
    if operation.kind in (Kind.FAILOVER, Kind.RECONCILE):
        lost = only_the_withdrawn_serve(situation, names)
    if operation.kind is Kind.DRAIN and operation.step is not Step.FENCE:
        lost = successor_lost(cases)
    if operation.kind is Kind.READMIT and operation.step is Step.PUBLISH:
        lost = failed_again(cases)
    if lost:
        return Doubt(lost, give_up=True)
    if operation.kind is Kind.READMIT:
        let_in = operation.step in (Step.PUBLISH, Step.VERIFY)
        return Doubt(_let_in_in_doubt(operation, cases) if let_in else "")
    return Doubt("" if _has_left(operation) else nobody_to_leave_it_to(situation, operation.kind, names))


def _let_in_in_doubt(operation: Operation, cases: tuple[Case, ...]) -> str:
    situation = cases[0].situation
    for case in cases:
        others = [n for n in case.behind.serving if n != case.node]
        served = any(known_to_serve(situation, n, case.endpoint.name) for n in others)
        if served and case.judgement.condition in FAILING:
            return f"{case.node} is {case.judgement.condition}: {case.judgement.evidence}"
    for target in targets_of(situation.snapshot.policy, operation):
        doubt = adds_in_doubt(situation, target, operation.endpoints, let_in=operation.node)
        if doubt:
            return doubt
    return ""


def _has_left(operation: Operation) -> bool:
    """A drained node is published no more: its clients leave it, and whoever serves them is looked at when
    its ports are to be closed."""
    return operation.kind is Kind.DRAIN and operation.step in (Step.WAIT_TTL, Step.FENCE)


def _configured(situation: Situation, endpoints: Iterable[str]) -> Iterator[tuple[str, Behind]]:
    """What stands behind those endpoints that are still configured."""
    return ((name, situation.behind[name]) for name in endpoints if name in situation.behind)


def only_the_withdrawn_serve(situation: Situation, endpoints: Iterable[str]) -> str:
    """Of an endpoint every node in service has failed since, and one that is to be kept away is well (I2)."""
    for name, behind in _configured(situation, endpoints):
        serving, away = behind.serving, behind.away
        well = [node for node in away if situation.judgements[node, name].condition in WELL]
        if well and all(situation.judgements[node, name].condition in FAILING for node in serving):
            return f"{well[0]} is well, and nobody else serves {name} any more"
    return ""


def closes_nothing(situation: Situation, node: str) -> bool:
    """Whether what is recorded opens a node for all it serves: that takes nothing away, whoever else is well
    or not. It may fail for its closed ports alone."""
    wanted = port_map(situation.snapshot.policy, situation.state, node)
    return bool(wanted) and all(port.kind is not PortKind.CLOSED for port in wanted.values())


def nobody_to_leave_it_to(situation: Situation, kind: Kind, endpoints: Iterable[str]) -> str:
    """Nothing is taken away while nobody else is known to serve (I8). In a cluster who stands by has
    nothing."""
    if situation.snapshot.policy.deployment is Deployment.CLUSTER:
        return ""
    judgements = situation.judgements
    for name, behind in _configured(situation, endpoints):
        serving, away = behind.serving, behind.away
        gone = all(_answers_nobody(judgements[node, name]) for node in away)
        if not away or (gone and kind is Kind.RECONCILE):
            continue
        if not any(known_to_serve(situation, node, name) for node in serving):
            said = "; ".join(f"{node} is {judgements[node, name].condition}" for node in serving)
            return f"nobody is known to serve {name} instead: {said or 'nobody is in service'}"
    return ""


def nobody_else_serves(situation: Situation, node: str) -> bool:
    """Where all serve: whether some endpoint of a node has nobody in service who is known to serve. That the
    DNS which a store made anew has found does not name it is no ground to close it, then: who is named may be
    shut by an order of the earlier store."""
    policy = situation.snapshot.policy
    if policy.deployment is Deployment.CLUSTER:
        return False
    names = [endpoint.name for endpoint in policy.endpoints_of(node)]
    return not all(
        any(known_to_serve(situation, other, name) for other in behind.serving)
        for name, behind in _configured(situation, names)
    )


def _answers_nobody(judgement: Judgement) -> bool:
    """Whether users lose nothing with it. One with a full disk still has their mail."""
    return judgement.condition in FAILING and judgement.cause is not Cause.DISK


def successor_lost(cases: tuple[Case, ...]) -> str:
    """A drain has no place to drain to when every other node of an endpoint has failed."""
    for case in cases:
        judgements, others = case.situation.judgements, [n for n in case.behind.serving if n != case.node]
        if all(judgements[name, case.endpoint.name].condition in FAILING for name in others):
            return f"nobody is left to serve {case.endpoint.name}"
    return ""


def failed_again(cases: tuple[Case, ...]) -> str:
    """A node that was to be let in has failed since it was looked at, perhaps while nobody led, for longer
    than a restart takes, and somebody else serves."""
    for case in cases:
        failed = gates.grace(case).answer is Answered.YES
        if failed and not case.alone(case.behind.alive):
            return f"failed before it was published: {case.judgement.evidence}"
    return ""


def may_be_repeated(situation: Situation, target: str) -> bool:
    """Whether what is recorded may be published there again. In a cluster, where who serves is known to (I2).
    A target never written to is left alone until automation acts and everybody in service is known to serve:
    what it holds may be better than what is recorded. Who is away is not waited for: its ports, which keep it
    from being well, wait for the target."""
    never, cluster = situation.state.target(target).token is None, _is_cluster(situation)
    if never or cluster:
        acts = situation.snapshot.policy.automation is Automation.ACT
        serving = [node for each in situation.behind.values() for node in each.serving]
        if cluster and any(_says_closed(situation, node) for node in serving):
            return False
        return (acts or not never) and all(
            each.serving and all(known_to_serve(situation, node, name) for node in each.serving)
            for name, each in situation.behind.items()
        )
    names = situation.snapshot.policy.endpoint_by_name
    return not (adds_in_doubt(situation, target, names) or takes_in_doubt(situation, target))


def _says_closed(situation: Situation, node: str) -> bool:
    """Whether a node's helper says that clients find it closed: what observers have seen may be older."""
    facts = situation.sight.nodes[node].facts
    closed = facts is not None and any(port.kind is PortKind.CLOSED for port in facts.ports.values())
    return closed or (facts is not None and facts.applied is False) or leases.lapsed(facts)


def _is_cluster(situation: Situation) -> bool:
    return situation.snapshot.policy.deployment is Deployment.CLUSTER


def takes_in_doubt(situation: Situation, target: str) -> str:
    """A mere repetition takes nobody out of a zone while whoever is left there is not known to serve, though
    who is away fails as well: it may be the first to come back."""
    for name, behind in _configured(situation, situation.snapshot.policy.endpoint_by_name):
        if target not in behind.endpoint.targets or not behind.away:
            continue
        if not any(known_to_serve(situation, node, name) for node in behind.serving):
            return f"nobody is known to serve {name} instead"
    return ""


def adds_in_doubt(situation: Situation, target: str, endpoints: Iterable[str], *, let_in: str = "") -> str:
    """Nobody is put into a zone who is not known to serve, while it surely names somebody who may; nor who is
    known to fail, whoever else it names (I2). Who fails keeps out nobody that is `let_in`: he is left out."""
    nodes, judgements = situation.snapshot.policy.node_by_name, situation.judgements
    record = situation.state.target(target)
    for name, behind in _configured(situation, endpoints):
        if target not in behind.endpoint.targets:
            continue
        serving, named = behind.serving, record.surely_names(name)
        there = {node for node in serving if not named.isdisjoint(nodes[node].addresses)}
        lost = all(judgements[node, name].condition in FAILING for node in there)
        for node in serving:
            judgement = judgements[node, name]
            if node in there or known_to_serve(situation, node, name):
                continue
            if let_in not in ("", node) and judgement.condition in FAILING:
                continue
            if there and (not lost or judgement.condition in FAILING):
                return f"{node} is not known to serve {name}: {judgement.evidence}"
    return ""


def known_to_serve(situation: Situation, node: str, endpoint: str) -> bool:
    judgement = situation.judgements[node, endpoint]
    return judgement.condition in WELL and judgement.outside
