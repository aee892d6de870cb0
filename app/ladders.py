"""What there is to stop each node by, and what is missing of it before it is needed. Pure.

A node that opens its ports by itself when it boots makes two serve, where another has been promoted
meanwhile. That is told and forbids nothing: a promotion held for it would leave nobody serving, and closes
nothing that is open already.
"""

from mailward.app.live import View
from mailward.app.wording import listed, printable
from mailward.model.fencing import NodeFacts
from mailward.model.policy import Deployment
from mailward.model.snapshot import Snapshot

OPENS_AT_BOOT = (
    'it opens by itself when it boots, and then two serve: write "boot": "closed" into its node.json'
)
BOOT_UNTOLD = "its mailward-node does not say whether the node boots closed: put that of this release there"


def notices(view: View) -> tuple[str, ...]:
    """What a person should mend before a node of a cluster has to be stopped."""
    if view.snapshot is None or view.snapshot.policy.deployment is not Deployment.CLUSTER:
        return ()
    return tuple(printable(each, 300) for each in _boots(view.snapshot))


def _boots(snapshot: Snapshot) -> list[str]:
    found = []
    for why in (OPENS_AT_BOOT, BOOT_UNTOLD):
        names = [node.name for node in snapshot.policy.nodes if _trouble_at_boot(snapshot, node.name) == why]
        if names:
            found.append(f"{listed(names)}: {why}")
    return found


def _trouble_at_boot(snapshot: Snapshot, node: str) -> str:
    """'' where the node boots closed, and where nobody has asked it."""
    facts = _newest_facts(snapshot, node)
    if facts is None or facts.boots_closed:
        return ""
    return OPENS_AT_BOOT if facts.boot else BOOT_UNTOLD


def _newest_facts(snapshot: Snapshot, node: str) -> NodeFacts | None:
    """What a node's helper said last, to whomever it did."""
    said = [
        (report.facts_age_s + view.age_s, view.name, report.facts)
        for view in snapshot.observers
        for report in (view.report.nodes if view.report is not None else ())
        if report.node == node and report.facts is not None
    ]
    return min(said, key=lambda each: each[:2])[2] if said else None
