"""What there is to stop each node by, and what is missing of it before it is needed. Pure.

A node that opens its ports by itself when it boots makes two serve, where another has been promoted
meanwhile. That is told and forbids nothing: a promotion held for it would leave nobody serving, and closes
nothing that is open already.
"""

from collections.abc import Callable, Mapping, Sequence

from mailward.app.live import View
from mailward.app.status import SCHEMA, FenceStatus, RungStatus, RungTried, Worked
from mailward.app.wording import WHOLE, listed, printable
from mailward.model.clock import Moment
from mailward.model.fencing import NodeFacts, Scope
from mailward.model.policy import Deployment, Node, Policy, Rung, RungKind
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Proven

BY_TEST = (RungKind.ASK, RungKind.HELPER, RungKind.AGENT)
"""The rungs that a test proves. A lease shows by itself whether it is armed."""
OLD_PROOF_S = 30 * 86400.0
HUMAN = "human"
_HUMAN = "you see to it yourself, and type, while a failover waits for it: mailward vouch {} --operation ID"

OPENS_AT_BOOT = (
    'it opens by itself when it boots, and then two serve: write "boot": "closed" into its node.json'
)
BOOT_UNTOLD = "its mailward-node does not say whether the node boots closed: put that of this release there"


def notices(view: View) -> tuple[str, ...]:
    """What a person should mend before a node of a cluster has to be stopped."""
    if view.snapshot is None or view.snapshot.policy.deployment is not Deployment.CLUSTER:
        return ()
    return tuple(printable(each, WHOLE) for each in (*_boots(view.snapshot), *_unproven(view.snapshot)))


def _boots(snapshot: Snapshot) -> list[str]:
    found = []
    for why in (OPENS_AT_BOOT, BOOT_UNTOLD):
        names = [node.name for node in snapshot.policy.nodes if _trouble_at_boot(snapshot, node.name) == why]
        if names:
            found.append(f"{listed(names)}: {why}")
    return found


def _trouble_at_boot(snapshot: Snapshot, node: str) -> str:
    """'' where the node boots closed, and where nobody has asked it."""
    facts = newest_facts(snapshot, node)
    if facts is None or facts.boots_closed:
        return ""
    return OPENS_AT_BOOT if facts.boot else BOOT_UNTOLD


def newest_facts(snapshot: Snapshot, node: str) -> NodeFacts | None:
    """What a node's helper said last, to whomever it did."""
    said = [
        (report.facts_age_s + view.age_s, view.name, report.facts)
        for view in snapshot.observers
        for report in (view.report.nodes if view.report is not None else ())
        if report.node == node and report.facts is not None
    ]
    return min(said, key=lambda each: each[:2])[2] if said else None


def of_a_cluster(snapshot: Snapshot | None, node: str) -> tuple[RungStatus, ...]:
    """Its ladder; nothing where none has to be stopped for another to serve."""
    if snapshot is None or snapshot.policy.deployment is not Deployment.CLUSTER:
        return ()
    return _rungs(snapshot, snapshot.policy.node_by_name[node])


def fence_of(view: View, node: str, tried: Sequence[RungTried]) -> FenceStatus:
    """The ladder of a node of any deployment with what trying came to, a person's word last."""
    assert view.snapshot is not None
    snapshot = view.snapshot
    cluster = snapshot.policy.deployment is Deployment.CLUSTER
    return FenceStatus(
        schema=SCHEMA,
        node=node,
        observer=view.observer,
        at_unix_s=view.now.wall_s,
        demanded=_demanded(snapshot.policy),
        rungs=(
            *_rungs(snapshot, snapshot.policy.node_by_name[node]),
            *([RungStatus(HUMAN, _HUMAN.format(node), Scope.POWER)] if cluster else []),
        ),
        tried=(*tried, *([RungTried(HUMAN, Worked.UNTRIED, "always there")] if cluster else [])),
    )


def proven(shown: FenceStatus, now: Moment) -> tuple[Proven, ...]:
    """What is to be recorded of it."""
    works = {each.rung for each in shown.tried if each.worked is Worked.WORKS}
    return tuple(Proven(shown.node, each, shown.observer, now) for each in BY_TEST if each in works)


def may_not_record(view: View) -> str:
    """Why a test from this daemon proves nothing, '' where it does."""
    snapshot = view.snapshot
    if snapshot is None:
        return ""
    leads = [each.name for each in snapshot.policy.observers if each.leads]
    if snapshot.standing is Standing.OBSERVING_ONLY:
        return "this daemon only observes, it stops nobody: what it can reach proves nothing"
    if view.observer in leads:
        return ""
    return f"this daemon never leads, so it stops nobody: test from {listed(leads)}"


def _demanded(policy: Policy) -> Scope:
    return policy.rules.fence_scope if policy.deployment is Deployment.CLUSTER else Scope.USERS


def _rungs(snapshot: Snapshot, node: Node) -> tuple[RungStatus, ...]:
    return tuple(_rung(snapshot, node, rung) for rung in node.ladder)


def _rung(snapshot: Snapshot, node: Node, rung: Rung) -> RungStatus:
    does, scope = RUNGS[rung.kind](snapshot.policy)
    return RungStatus(
        rung=rung.kind.value,
        does=does,
        scope=scope,
        lacks=_lacks(snapshot.policy, rung.kind, scope),
        timeout_s=rung.timeout_s,
        proven_s=_proven_s(snapshot, node.name, rung.kind),
    )


def _lacks(policy: Policy, kind: RungKind, scope: Scope) -> str:
    if policy.deployment is not Deployment.CLUSTER and kind is not RungKind.HELPER:
        return f"not used: a {policy.deployment} switches nothing off"
    if not scope.covers(_demanded(policy)):
        return f"not enough by itself: fence_scope demands {_demanded(policy)}"
    return ""


def _proven_s(snapshot: Snapshot, node: str, kind: RungKind) -> dict[str, float | None]:
    if kind not in BY_TEST:
        return {}
    ages = {
        each.observer: each.at.age_s(snapshot.now)
        for each in snapshot.state.proven
        if (each.node, each.rung) == (node, kind.value)
    }
    return {each.name: ages.get(each.name) for each in snapshot.policy.observers if each.leads}


def _unproven(snapshot: Snapshot) -> list[str]:
    """Whoever leads has to be able to; what nobody has tried for long may have broken."""
    found: dict[str, list[str]] = {}
    for node in snapshot.policy.nodes:
        for rung in _rungs(snapshot, node):
            for observer, age_s in rung.proven_s.items():
                if age_s is None or age_s > OLD_PROOF_S:
                    found.setdefault(observer, []).append(f"{rung.rung} of {node.name}")
    alone = len(snapshot.policy.observers) == 1
    said = "; ".join(f"{listed(rungs)}{'' if alone else f' from {name}'}" for name, rungs in found.items())
    if not said:
        return []
    days, where = f"{OLD_PROOF_S / 86400:.0f} days", "" if alone else " there"
    return [f"not tried for {days}, or never: {said}. Type{where}: mailward fence test NODE"]


# what each rung does, and how much of a node that stops


def _ask(policy: Policy) -> tuple[str, Scope]:
    does, scope = _helper(policy)
    return f"through ZooKeeper and the daemon beside it, {does}", scope


def _helper(policy: Policy) -> tuple[str, Scope]:
    closes = "have mailward-node close every client port, and see from outside that they refuse"
    if policy.deployment is Deployment.CLUSTER and policy.rules.fence_scope.covers(Scope.WRITES):
        return f"{closes}; have it stop all that writes", Scope.WRITES
    return closes, Scope.USERS


def _lease(policy: Policy) -> tuple[str, Scope]:
    over_s = policy.rules.lease_over_s
    after = "" if over_s is None else f", {over_s:g} s after the last renewal"
    return f"wait until its kernel has closed the client ports by itself{after}", Scope.USERS


def _agent(policy: Policy) -> tuple[str, Scope]:
    does = "switch its power off, and read back that it is; planned work does so only to a lost target"
    return does, Scope.POWER


RUNGS: Mapping[RungKind, Callable[[Policy], tuple[str, Scope]]] = {
    RungKind.ASK: _ask,
    RungKind.HELPER: _helper,
    RungKind.LEASE: _lease,
    RungKind.AGENT: _agent,
}
