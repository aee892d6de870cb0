"""Conditions: the evidence about a (node, endpoint), whatever its phase."""

from dataclasses import dataclass

from mailward.controller.core.sight import NodeView, Sight
from mailward.model.decision import Condition
from mailward.model.fencing import NodeFacts, UnitState, opens
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Endpoint, Rules
from mailward.model.state import Cause

CERT_WARNING_DAYS = 7.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Judgement:
    """A condition with its evidence. `failing_s` is how long it has failed for certain: from the first
    symptom to the newest failed probe, not to now. `doubtful_for_s` is the age of the first symptom of a
    failure which our own link or clock, or something all nodes share, may be to blame for; `outside` says
    that it was seen as clients see it, and not behind closed ports."""

    condition: Condition
    evidence: str
    cause: Cause = Cause.NONE
    failing_s: float = 0.0
    stable_s: float = 0.0
    recovering: bool = False
    doubtful_for_s: float | None = None
    outside: bool = True


def condition_of(node: str, endpoint: Endpoint, sight: Sight, rules: Rules) -> Judgement:
    """Judge one (node, endpoint). DOWN outweighs UNKNOWN, UNKNOWN outweighs UP; where no service can answer,
    since it is stopped as ordered, its helper's word counts instead."""
    view = sight.nodes[node]
    services = [view.services[name] for name in endpoint.services]
    verdicts = [s.verdict for s in services]
    idle, full = stopped_as_ordered(view), full_paths(view.facts, rules) if view.facts else ()
    if Verdict.DOWN in verdicts and not idle:
        down = [s for s in services if s.verdict is Verdict.DOWN]
        evidence = "; ".join(f"{s.service} DOWN: {s.evidence}" for s in down)
        lost = cut_off(view)
        return Judgement(
            Condition.UNREACHABLE if lost else Condition.FAILED,
            evidence,
            Cause.UNREACHABLE if lost else Cause.SERVICE,
            failing_s=max(max(0.0, s.symptom_age_s - s.failed_age_s) for s in down),
            recovering=all(s.recovering for s in down),
            doubtful_for_s=max((s.symptom_age_s for s in down if s.doubtful), default=None),
        )
    if full:
        return Judgement(Condition.FAILED, "; ".join(full), Cause.DISK, failing_s=float("inf"))
    stable = min([s.verdict_age_s for s in services], default=0.0)
    if idle:
        said = "its writers are stopped, as ordered"
        return Judgement(Condition.HEALTHY, said, stable_s=stable, outside=False)
    if Verdict.UNKNOWN in verdicts:
        unknown = [s for s in services if s.verdict is Verdict.UNKNOWN]
        return Judgement(Condition.UNKNOWN, "; ".join(f"{s.service} UNKNOWN: {s.evidence}" for s in unknown))
    outside = all(s.vantage is Vantage.DIRECT for s in services)
    expiring = [
        f"{s.service}: certificate has {s.cert_days_left:.0f} days left"
        for s in services
        if s.cert_days_left is not None and s.cert_days_left < CERT_WARNING_DAYS
    ]
    if expiring:
        return Judgement(Condition.DEGRADED, "; ".join(expiring), stable_s=stable, outside=outside)
    return Judgement(Condition.HEALTHY, "every service answers", stable_s=stable, outside=outside)


def stopped_as_ordered(view: NodeView) -> bool:
    """Whether all that writes on a node is stopped because an order wants it, behind closed ports: what of it
    serves clients cannot answer then, and how well it would nobody knows."""
    return view.facts is not None and view.facts.stopped is True and not opens(view.facts.ports)


def cut_off(view: NodeView) -> bool:
    """Nothing of the node answers: no service, and no helper since they fell silent. It may be dead, or only
    out of reach."""
    services = view.services.values()
    if not all(s.verdict is Verdict.DOWN and s.cut_off for s in services):
        return False
    return view.facts is None or all(view.facts_age_s > s.symptom_age_s for s in services)


def full_paths(facts: NodeFacts, rules: Rules) -> tuple[str, ...]:
    """Paths of mail or queue without room. Logins, SELECT and RCPT succeed on a full disk, so only
    the node itself can tell."""
    found = []
    for path, space in sorted(facts.paths.items()):
        if space.free_bytes is not None and space.free_bytes < rules.min_free_bytes:
            free, least = space.free_bytes / _MIB, rules.min_free_bytes / _MIB
            found.append(f"{path} has {free:.0f} MiB free, less than {least:.0f}")
        elif (
            space.total_inodes
            and space.free_inodes is not None
            and space.free_inodes < min(rules.min_free_inodes, space.total_inodes // 20)
        ):
            found.append(f"{path} has {space.free_inodes} inodes free")
    return tuple(found)


def restart_seen(facts: NodeFacts | None) -> str:
    """'upgrade' or 'restart' when the node says its services are being worked on, else ''."""
    if facts is None:
        return ""
    if facts.package_manager:
        return "upgrade"
    busy = (UnitState.RESTARTING, UnitState.STARTING, UnitState.STOPPING)
    return "restart" if any(state in busy for state in facts.units.values()) else ""
