"""Which node of a cluster serves when its store is made: whom a person says, or who did in an earlier store.

Nobody guesses it. The earlier store is believed only where one node served in it for all, nothing was being
moved, nothing was ordered after it was shown, everybody could be asked, and DNS names just that node.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mailward.app.commands.exported import Exported, stays_out
from mailward.app.commands.remembered import Remembered
from mailward.app.wording import listed
from mailward.controller.core.admission import serving
from mailward.model.clock import Moment
from mailward.model.policy import Deployment, Policy
from mailward.model.state import Phase, PhaseRecord

_MOVING = (Phase.DEMOTING, Phase.PROMOTING)
_STANDS = (Phase.IN_SERVICE, Phase.STANDBY)


def unsaid(policy: Policy, active: str | None, adopt: str | None, earlier: Path | None) -> str:
    """What is wrong with what a person says of who serves, '' if nothing is; an earlier store may tell."""
    names = ", ".join(policy.node_by_name)
    if policy.deployment is not Deployment.CLUSTER:
        return f"--active is for a cluster; in a {policy.deployment} all serve" if active else ""
    if active is not None:
        return "" if active in policy.node_by_name else f"no node is named {active!r}; there are: {names}"
    if earlier is not None:
        return ""
    lost = f" --adopt {adopt}" if adopt is not None else ""
    why = "what is remembered outside does not tell: " if adopt is not None else ""
    return f"{why}say which node serves now: mailward state init{lost} --active NODE, one of {names}"


def in_the_earlier(before: Exported, policy: Policy, found: Sequence[Remembered]) -> tuple[str, str]:
    """The node that served there and may be believed to serve now; or '' and why it may not."""
    phases = before.state.phases
    serves = sorted({record.node for record in phases if record.phase is Phase.IN_SERVICE})
    if any(record.phase in _MOVING for record in phases):
        return "", "service was being moved"
    if before.state.superseded:
        return "", "another controller led by then, or it was an old copy"
    if len(serves) != 1:
        return "", f"{listed(serves) or 'nobody'} served"
    active = serves[0]
    if any(record.node == active and record.phase is not Phase.IN_SERVICE for record in phases):
        return "", f"{active} served a part only"
    if active not in policy.node_by_name:
        return "", f"{active} served, and is not configured any more"
    if later := [each.where for each in found if each.token and before.token < each.token]:
        return "", f"{later[0]} has obeyed an order since"
    if silent := [each.where for each in found if each.problem]:
        return "", f"{active} served, and {silent[0]} cannot be asked what happened since"
    return ("", other) if (other := _dns_names_another(policy, active, found)) else (active, "")


def in_doubt(policy: Policy, doubt: str, earlier: Path | None) -> str:
    command = f"mailward state init --from {earlier} --active NODE, one of {', '.join(policy.node_by_name)}"
    return f"{earlier} does not tell for certain who serves now: {doubt}. Say it: {command}"


def _dns_names_another(policy: Policy, active: str, found: Sequence[Remembered]) -> str:
    """Why DNS contradicts that a node serves; of an endpoint that it does not answer for it says nothing."""
    ours = set(policy.node_by_name[active].addresses)
    for rrset in (rrset for each in found for rrset in each.rrsets):
        if other := sorted(set(rrset.values) - ours):
            return f"{active} served, and DNS names {other[0]} for {rrset.name.removesuffix('.')}"
    return ""


def phases_of(
    policy: Policy, active: str, now: Moment, before: Exported | None, found: Sequence[Remembered]
) -> tuple[PhaseRecord, ...]:
    """Where the nodes stand: `active` serves, who was out in the earlier store stays out for the same reason,
    the others stand by."""
    records = serving(policy, active, now)
    if before is None:
        return records
    known = before.of_all([each.token for each in found if each.token])
    away = {(r.node, r.endpoint): r for r in before.state.phases if r.phase not in _STANDS}
    return tuple(
        stays_out(away[key], known)
        if (key := (record.node, record.endpoint)) in away and record.node != active
        else _since(before, record)
        for record in records
    )


def _since(before: Exported, record: PhaseRecord) -> PhaseRecord:
    """Who stands as before has done so since then."""
    earlier = before.state.phase_of(record.node, record.endpoint)
    return replace(record, since=earlier.since) if earlier and earlier.phase is record.phase else record
