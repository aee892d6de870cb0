"""Gates: checked before deciding. Each answers with a reason; anything but YES holds.

A gate looks at a `Case`: one (node, endpoint) and what is wanted of it, by automation or by hand. The
lists at the end say which gates guard which goal; a person's word skips those that only make
automation careful, never those that protect mail users.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mailward.controller.core.bounds import MOST_DOUBLINGS, NAMED
from mailward.controller.core.cases import FAILING, WELL, Case
from mailward.controller.core.conditions import full_paths, restart_seen
from mailward.controller.core.expiry import earlier_orders_expired
from mailward.controller.core.phases import port_map
from mailward.model.decision import Answered, Condition, Finding
from mailward.model.fencing import FenceOutcome
from mailward.model.orders import Result
from mailward.model.policy import Automation, Deployment
from mailward.model.replication import Confidence, Lag
from mailward.model.snapshot import Standing
from mailward.model.state import Cause, Phase, Step

LAST_RESORT = "LAST RESORT: nobody else serves"
OBSERVES_ONLY = "this controller only observes: it runs on a mail node without a quorum"

Gate = Callable[[Case], Finding]


def _yes(gate: str, reason: str) -> Finding:
    return Finding(gate, Answered.YES, reason)


def _no(gate: str, reason: str, command: str = "") -> Finding:
    return Finding(gate, Answered.NO, reason, command)


def _unknown(gate: str, reason: str, command: str = "") -> Finding:
    return Finding(gate, Answered.UNKNOWN, reason, command)


_ACTING = _yes("automation", "acting")
_NOT_PAUSED = _yes("pause", "not paused")
_SOMETHING_ANSWERS = _yes("self", "something answers")
_HYBRID = _yes("deployment", "hybrid")
_NOTHING_RUNS = _yes("one-operation", "nothing else runs")


def acting(case: Case) -> Finding:
    if case.snapshot.standing is Standing.OBSERVING_ONLY:
        return _no("automation", OBSERVES_ONLY)
    if case.snapshot.policy.automation is Automation.ACT:
        return _ACTING
    verb = "readmit" if case.record and case.record.phase is Phase.OUT else "failover"
    return _no("automation", "only observing (automation: observe)", f"mailward {verb} {case.node}")


def not_paused(case: Case) -> Finding:
    pause = case.snapshot.pause
    if pause is None or not pause.in_force(case.snapshot.now):
        return _NOT_PAUSED
    if case.force:
        return _yes("pause", f"paused by {pause.owner}, forced by hand")
    left = pause.until_wall_s - case.snapshot.now.wall_s
    return _no("pause", f"paused by {pause.owner} for {left:.0f} s more: {pause.reason}", "mailward resume")


def votes(case: Case) -> Finding:
    """I6: enough fresh votes of configured observers."""
    sight = case.sight
    if sight.votes >= sight.needed:
        return _yes("votes", f"{sight.votes} fresh of {sight.needed} needed")
    why = "; ".join(sight.blind)
    return _unknown("votes", f"{sight.votes} fresh of {sight.needed} needed ({why})")


def self_trust(case: Case) -> Finding:
    """The gate `self` (I7): when nothing at all answers anywhere, it is more likely us."""
    if case.situation.nothing_answers:
        return _no("self", "no node answers anything: the observers may be the ones cut off")
    return _SOMETHING_ANSWERS


def grace(case: Case) -> Finding:
    """A restart is not a crash: the failure must have outlasted the grace, seen by a probe."""
    rules, judgement = case.snapshot.policy.rules, case.judgement
    if judgement.condition not in FAILING:
        return _no("grace", f"nothing has failed: {judgement.evidence}")
    if judgement.recovering:
        return _no("grace", "it answers again; waiting for the verdict to turn")
    seen = restart_seen(case.sight.nodes[case.node].facts) or next(
        (e.seen for e in case.state.episodes if _running(e.node, e.endpoint, e.ended, case)), ""
    )
    allowed = max(rules.known_restart_grace_s, rules.restart_grace_s) if seen else rules.restart_grace_s
    if judgement.failing_s >= allowed:
        return _yes("grace", f"failing for {lasting(judgement.failing_s)}, grace is {allowed:g} s")
    what = f"the node reports a {seen}: " if seen else ""
    return _no("grace", f"{what}failing for {lasting(judgement.failing_s)}, grace is {allowed:g} s")


def _running(node: str, endpoint: str, ended: str, case: Case) -> bool:
    return not ended and node == case.node and endpoint == case.endpoint.name


def lasting(seconds: float) -> str:
    return "long" if seconds == float("inf") else f"{seconds:.1f} s"


def successor(case: Case) -> Finding:
    """I8: somebody who serves, is well, and is not behind."""
    held: dict[str, tuple[str, bool]] = {}
    for name in case.behind.fit:
        if name == case.node:
            continue
        problem = _held_now(case, name)
        if problem is None:
            return _yes("successor", f"{name} serves {case.endpoint.name} and is well")
        held[name] = problem
    others = [name for name in case.endpoint.nodes[: NAMED + 1] if name != case.node][:NAMED]
    if not others:
        return _no("successor", "no other node is configured for this endpoint")
    said = [f"{name} {(held.get(name) or case.behind.unfit[name])[0]}" for name in others]
    more = len(case.endpoint.nodes) - 1 - len(others)
    reason = "; ".join(said) + (f"; and {more} more" if more else "")
    known = case.alone(case.behind.unknown) and all(known for _, known in held.values())
    return (_no if known else _unknown)("successor", reason, _to_have_one(case, held, others[0]))


def _to_have_one(case: Case, held: Mapping[str, tuple[str, bool]], other: str) -> str:
    """What to type so that somebody can take over: best is who is well and was only taken out by hand."""
    kept_out = [name for name in case.behind.kept_out if name != case.node]
    if kept_out:
        return f"mailward readmit {kept_out[0]}"
    forced = any(known for _, known in held.values())
    return f"mailward failover {case.node} --force" if forced else f"mailward explain {other}"


def _held_now(case: Case, name: str) -> tuple[str, bool] | None:
    """Why `name`, well as it is, cannot take over from this node, and whether that is knowledge."""
    doubtful_for_s = case.judgement.doubtful_for_s
    if doubtful_for_s is not None and not _answered_within(case, name, doubtful_for_s):
        return f"has not answered since {case.node} failed", False
    behind = "" if case.force else _too_far_behind(case, name)
    return (behind, True) if behind else None


def _answered_within(case: Case, name: str, seconds: float) -> bool:
    """I7: silence may be our own link's fault, a bad certificate our own clock's, a refused login that of
    a database all nodes share. Then the other has failed as well, and its verdict only not turned yet."""
    services = [case.sight.nodes[name].services[s] for s in case.endpoint.services]
    return all(service.answered_age_s <= seconds for service in services)


def _too_far_behind(case: Case, name: str) -> str:
    """I5, as a withdrawal knows it: no mail is lost, but users would miss what `name` has not got yet.
    Where nobody knows, the withdrawal is the smaller evil."""
    most, lag = case.snapshot.policy.rules.max_lag_s, case.sight.lags.get((case.node, name))
    if lag is None or lag.seconds is None or lag.seconds <= most:
        return ""
    return f"is behind by {lag.seconds:.0f} s ({lag.mailboxes} mailboxes), more than {most:.0f} s"


def last_address(case: Case) -> Finding:
    """I2: an endpoint never loses its last serving address, on no target."""
    if not case.alone(case.behind.addressed):
        return _yes("last-address", f"{case.endpoint.name} keeps an address")
    targets = ", ".join(case.endpoint.targets)
    return _no("last-address", f"{case.endpoint.name} would have no address left on {targets}")


def rate(case: Case) -> Finding:
    """I8: at most N failovers an hour."""
    limit = case.snapshot.policy.rules.failovers_per_hour
    recent = case.situation.failovers_last_hour
    reason = f"{recent} failovers in the last hour, at most {limit}"
    if recent < limit:
        return _yes("rate", reason)
    return _no("rate", reason, f"mailward failover {case.node}")


def deployment(case: Case) -> Finding:
    if case.snapshot.policy.deployment is Deployment.HYBRID:
        return _HYBRID
    return _no("deployment", f"{case.snapshot.policy.deployment}: nothing to fail over to")


def claimed(case: Case) -> Finding:
    """I1: every DNS target knows our epoch before we change anything, and the helper of a node that
    comes back as well. A target that cannot be had holds up nobody for ever: when all that an earlier
    leader may have sent there has expired, the others are enough, and it is claimed when it returns."""
    epoch = case.state.epoch
    missing: list[str] = []
    absent: list[str] = []
    adopt = ""
    for target in case.endpoint.targets:
        record = case.state.target(target)
        if record.claimed_in(epoch):
            continue
        why = record.claim.detail if record.claim and record.claim.detail else "not yet tried"
        gone = record.claim is not None and record.claim.result in (Result.FAILED, Result.UNKNOWN)
        expired = earlier_orders_expired(case.state, case.snapshot.now, case.snapshot.policy.rules)
        if target in case.snapshot.policy.unguarded and not expired:
            why = "it cannot refuse what an earlier leader has begun, and that has not expired yet"
        (absent if gone and expired else missing).append(f"{target} ({why})")
        if record.claim and record.claim.result is Result.STALE:
            adopt = f"mailward state init --adopt {case.state.store_id}"
    missing += _unclaimed_helper(case)
    if missing or (absent and len(absent) == len(case.endpoint.targets)):
        return _unknown("claimed", "not claimed in this epoch: " + ", ".join(missing + absent), adopt)
    if absent:
        return _yes("claimed", f"epoch {epoch} is known but to {', '.join(absent)}")
    return _yes("claimed", f"every DNS target knows epoch {epoch}")


def _unclaimed_helper(case: Case) -> list[str]:
    node, phase = case.node, case.record.phase if case.record else None
    helper = case.state.helper(node)
    if phase not in (Phase.OUT, Phase.REJOINING) or not case.snapshot.policy.node_by_name[node].fenced:
        return []
    if helper.claimed_in(case.state.epoch):
        return []
    why = helper.claim.detail if helper.claim and helper.claim.detail else "not yet tried"
    return [f"mailward-node on {node} ({why})"]


def one_operation(case: Case) -> Finding:
    """I10."""
    operation = case.state.operation
    if operation is None:
        return _NOTHING_RUNS
    return _no("one-operation", f"{operation.kind} of {operation.node} is at step {operation.step}")


def helper_answers(case: Case) -> Finding:
    node = case.snapshot.policy.node_by_name[case.node]
    if not node.fenced:
        return _yes("helper", "no helper is configured; client ports are not ours to close")
    claim = case.state.helper(case.node).claim
    if claim is not None and claim.result in (Result.STALE, Result.FOREIGN):
        return _no("helper", f"mailward-node obeys another controller: {claim.detail}")
    view = case.sight.nodes[case.node]
    if view.facts is None:
        return _unknown("helper", f"mailward-node does not answer: {view.helper_error}")
    return _yes("helper", "mailward-node answers")


def behind_closed_ports(case: Case) -> Finding:
    """The gate `fence`: a node is tried behind closed ports before clients may have it; a port that another
    endpoint in service here needs stays open."""
    if not case.snapshot.policy.node_by_name[case.node].fenced:
        return _yes("fence", "no helper is configured")
    hybrid = case.snapshot.policy.deployment is Deployment.HYBRID
    if hybrid and case.snapshot.policy.rules.last_resort and case.alone(case.behind.alive):
        return _yes("fence", f"{LAST_RESORT}: nobody is kept waiting behind closed ports")
    ports = case.state.ports_of(case.node)
    if ports is None or ports.fence is not FenceOutcome.CONFIRMED:
        power = case.state.power_of(case.node)
        if power is not None and power.off is FenceOutcome.CONFIRMED:
            return _no("fence", "mailward switched it off, read back off; it is closed once it answers")
        detail = f": {ports.detail}" if ports and ports.detail else ""
        return _unknown("fence", f"its client ports are not known to be closed{detail}")
    wanted = port_map(case.snapshot.policy, case.state, case.node)
    if any(ports.ports.get(service) != wanted[service] for service in case.endpoint.services):
        return _unknown("fence", "its client ports were last ordered open")
    return _yes("fence", "its client ports are closed, seen from outside")


def well(case: Case) -> Finding:
    judgement = case.judgement
    if judgement.condition in WELL:
        scarce = _scarce(case)
        return _no("well", scarce) if scarce else _yes("well", judgement.evidence)
    answer = _unknown if judgement.condition is Condition.UNKNOWN else _no
    return answer("well", f"{judgement.condition}: {judgement.evidence}")


def _scarce(case: Case) -> str:
    """A node that is out for want of room comes back with twice the room: it would be full again."""
    facts, rules = case.sight.nodes[case.node].facts, case.snapshot.policy.rules
    if case.record is None or case.record.cause is not Cause.DISK or case.force or facts is None:
        return ""
    twice = replace(rules, min_free_bytes=2 * rules.min_free_bytes, min_free_inodes=2 * rules.min_free_inodes)
    full = full_paths(facts, twice)
    return f"{'; '.join(full)}: to come back it needs twice the least" if full else ""


def stable(case: Case) -> Finding:
    needed = case.snapshot.policy.rules.stable_s
    if case.judgement.condition not in WELL:
        return _no("stable", "not well")
    if case.judgement.stable_s >= needed:
        return _yes("stable", f"well for {case.judgement.stable_s:.0f} s, {needed:g} s needed")
    return _no("stable", f"well for {case.judgement.stable_s:.0f} s, {needed:g} s needed")


def hold_down(case: Case) -> Finding:
    """I13: grows with each flap of the same cause, from an operation's completion."""
    rules, record = case.snapshot.policy.rules, case.record
    flap = next(
        (f for f in case.state.flaps if record and f.node == case.node and f.cause is record.cause), None
    )
    if flap is None or flap.count < 2:
        return _yes("hold-down", "first time for this cause")
    if rules.last_resort and case.alone(case.behind.alive):
        return _yes("hold-down", LAST_RESORT)
    wait = min(rules.hold_down_s * 2.0 ** min(flap.count - 2, MOST_DOUBLINGS), rules.hold_down_max_s)
    age = flap.last.age_s(case.snapshot.now)
    reason = f"out {flap.count} times for {flap.cause}; {age:.0f} s since, {wait:.0f} s needed"
    return (_yes if age >= wait else _no)("hold-down", reason)


def caught_up(case: Case) -> Finding:
    """I12: what was missed has arrived, both ways, with every node in service.

    If nobody else serves, `last_resort` lets a healthy node in without it, with an alert.
    """
    policy = case.snapshot.policy
    if case.force:
        return _yes("caught-up", "forced by hand")
    if not policy.node_by_name[case.node].replicates:
        return _yes("caught-up", "no replication is configured")
    alive = case.behind.alive
    if policy.deployment is Deployment.CLUSTER:
        alive = (
            case.behind.serving
        )  # a standby serves nobody: it catches up, or there is nobody to catch up with
        if not alive:
            return _yes("caught-up", "nobody is in service to catch up with")
    if case.alone(alive):
        if policy.rules.last_resort:
            return _yes("caught-up", f"{LAST_RESORT}; mail not yet replicated may show late")
        return _no("caught-up", "nobody else serves, and last_resort is off", _force(case))
    for name in alive:
        if name == case.node or not policy.node_by_name[name].replicates:
            continue
        for source, target in ((name, case.node), (case.node, name)):
            lag = case.sight.lags.get((source, target))
            problem = _behind(lag, policy.rules.caught_up_lag_s) or _measured_before(case, lag)
            if problem:
                answer = _no if problem.startswith("behind") else _unknown
                return answer("caught-up", f"{source} to {target} {problem}", _force(case))
    return _yes("caught-up", "mail has arrived both ways")


def _measured_before(case: Case, lag: Lag | None) -> str:
    """A figure counts for a readmission that runs if it was taken since this began to catch up: before, it
    says nothing of what was accepted since."""
    operation, now = case.state.operation, case.snapshot.now
    if operation is None or operation.step is not Step.CATCH_UP or lag is None:
        return ""
    if lag.age_s <= operation.step_since.age_s(now):
        return ""
    return f"was last measured {lag.age_s:.0f} s ago, before this catch-up began"


def _force(case: Case) -> str:
    return f"mailward readmit {case.node} --force"


def _behind(lag: Lag | None, limit_s: float) -> str:
    if lag is None or lag.confidence is not Confidence.KNOWN or lag.seconds is None:
        return f"is unknown{f' ({lag.detail})' if lag and lag.detail else ''}"
    if not lag.seconds <= limit_s or (lag.failed_mailboxes or 0) > 0:  # NaN is not a small lag
        return f"behind by {lag.seconds:.0f} s, {lag.mailboxes} mailboxes wait"
    return ""


WITHDRAW: tuple[Gate, ...] = (
    acting, deployment, not_paused, votes, self_trust, grace, successor, last_address, rate, claimed,
    one_operation,
)  # fmt: skip
WITHDRAW_BY_HAND: tuple[Gate, ...] = (
    deployment, not_paused, votes, successor, last_address, claimed, one_operation,
)  # fmt: skip
READMIT: tuple[Gate, ...] = (
    acting, not_paused, votes, helper_answers, behind_closed_ports, well, stable, hold_down, claimed,
    one_operation,
)  # fmt: skip
READMIT_BY_HAND: tuple[Gate, ...] = (
    not_paused, votes, helper_answers, behind_closed_ports, well, claimed, one_operation,
)  # fmt: skip
