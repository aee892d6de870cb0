"""What is wrong with how a node that serves is leased, before its client ports close by it. Pure."""

from mailward.app.ladders import newest_facts
from mailward.app.live import View
from mailward.app.wording import WHOLE, printable
from mailward.model.fencing import NodeFacts, opens
from mailward.model.policy import Deployment
from mailward.model.snapshot import Snapshot
from mailward.model.state import Phase


def notices(view: View) -> tuple[str, ...]:
    """Of the nodes in service of a cluster."""
    snapshot = view.snapshot
    if snapshot is None or snapshot.policy.deployment is not Deployment.CLUSTER:
        return ()
    serving = sorted({each.node for each in snapshot.state.phases if each.phase is Phase.IN_SERVICE})
    found = [
        _of(snapshot, node, facts) for node in serving if (facts := newest_facts(snapshot, node)) is not None
    ]
    return tuple(printable(each, WHOLE) for each in found if each)


def _of(snapshot: Snapshot, node: str, facts: NodeFacts) -> str:
    armed, kept = snapshot.policy.rules.lease_s is not None, _kept_by(snapshot, node)
    if armed and facts.forced:
        return (
            f"root has opened {node} by hand: it is under no lease until it is ordered again, as when "
            f"service moves to another node (mailward switchover) and back; `mailward-node close` on {node} "
            "refuses its clients at once"
        )
    if not opens(facts.ports) or facts.forced:
        return ""
    if facts.lease_s is not None and facts.lease_left_s != 0 and not kept:
        return (
            f"{node} is open under a lease, and no daemon renews it: its client ports close when that ends. "
            f"Start the daemon beside {node} with `lease_s` again; to disarm, that one is restarted last"
        )
    if armed and facts.lease_s is None and snapshot.policy.digest not in kept:
        return (
            f"{node} is open without a lease: nobody would renew it before the daemon beside {node} runs with"
            " this configuration"
        )
    return ""


def _kept_by(snapshot: Snapshot, node: str) -> set[str]:
    """The configurations of the daemons that tell of its lease."""
    reports = [view.report for view in snapshot.observers if view.report is not None]
    return {each.config_digest for each in reports if each.lease is not None and each.lease.node == node}
