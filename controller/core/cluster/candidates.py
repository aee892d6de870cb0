"""Candidates: who may be promoted in a cluster, in which order, and what mail it would not have. Pure.

A candidate stands by, or has just been stopped itself; it is well behind its closed ports, its helper answers
us, what it may lack is within the policy's `loss` or what a person accepts of it (I5), and no other was
opened by root's hand. First is the one that was stopped, if it is well again: nothing moves, and no mail is
left behind. Then whose priority is highest; who flaps least, who stands in the site of the one that is lost,
who has most of its mail. The one that was stopped is last where a person wants it away, it flaps, or nobody
can tell since its writers are stopped.

What a person accepts (`--force`) is one candidate, and what that lacked when it was asked for: not the loss
of the next one, nor one that nobody knows any more."""

from dataclasses import dataclass
from math import inf

from mailward.controller.core.cases import FAILING, WELL, Situation
from mailward.controller.core.cluster import ladder, leases
from mailward.controller.core.conditions import stopped_as_ordered
from mailward.model.fencing import FenceOutcome
from mailward.model.policy import Loss
from mailward.model.replication import Confidence
from mailward.model.state import Accepted, Cause, Kind, Operation, Phase

FLAPS = 2
"""Who has left service so often lately is opened again only where nobody else can be."""
_READY = (Phase.STANDBY, Phase.DEMOTING, Phase.PROMOTING)


@dataclass(frozen=True, slots=True)
class Field:
    """The nodes that can be promoted now, best first; why each other one cannot, and whether that is
    knowledge. `loses` is why who is otherwise fit would lose too much mail, best first."""

    fit: tuple[str, ...]
    unfit: dict[str, tuple[str, bool]]
    loses: dict[str, str]


def field(
    situation: Situation, source: str, operation: Operation | None, *, force: bool = False,
    at_last: bool = False,
) -> Field:  # fmt: skip
    """Who can take over from `source` ('' where nobody has served). `force`: however much mail it lacks;
    `at_last`: what has not come by now does not come any more."""
    fit: list[str] = []
    unfit: dict[str, tuple[str, bool]] = {}
    loses: dict[str, str] = {}
    failed = operation.failed if operation is not None else ()
    for node in situation.snapshot.policy.nodes:
        why = _unfit(situation, node.name, source)
        if node.name in failed:
            why = "could not be promoted a moment ago", True
        accepted = accepted_s(situation, operation, node.name)
        if why is None and not force and (lost := too_much(situation, source, node.name, at_last, accepted)):
            loses[node.name] = lost
            why = lost, loss_s(situation, source, node.name) is not None
        if why is None:
            fit.append(node.name)
        else:
            unfit[node.name] = why

    def rank(name: str) -> tuple[int, int, int, bool, float, int]:
        return _rank(situation, source, operation, name)

    return Field(tuple(sorted(fit, key=rank)), unfit, {name: loses[name] for name in sorted(loses, key=rank)})


def acceptable(
    situation: Situation, source: str, operation: Operation | None, to: str = ""
) -> Accepted | None:
    """What a person who insists accepts: `to`, or who would be promoted now, with what that may lack now."""
    found = field(situation, source, operation)
    names = [to] if to else [name for name in (*found.fit, *found.loses) if name != source]
    if not names:
        return None
    return Accepted(names[0], loss_s(situation, source, names[0]), situation.snapshot.now)


def accepted_s(situation: Situation, operation: Operation | None, node: str) -> float:
    """How many seconds of mail a person accepts that a node lacks: as it was then, and what its age adds."""
    accepts = operation.accepts if operation is not None else None
    if accepts is None or accepts.node != node:
        return 0.0
    return inf if accepts.seconds is None else accepts.seconds + accepts.at.age_s(situation.snapshot.now)


def amount(lost_s: float | None) -> str:
    """What somebody may lack, in words."""
    return "an unknown amount" if lost_s is None else f"up to {lost_s:.0f} s"


def _unfit(situation: Situation, node: str, source: str) -> tuple[str, bool] | None:
    state, policy, view = situation.state, situation.snapshot.policy, situation.sight.nodes[node]
    records = state.phases_of(node)
    if not records:
        return "is not recorded", True
    for record in records:
        if record.phase not in _READY:
            by_hand = ", taken out by hand" if record.cause is Cause.OPERATOR else ""
            return f"is {record.phase}{by_hand}", True
    for endpoint in policy.endpoints_of(node):
        judgement = situation.judgements[node, endpoint.name]
        if judgement.condition in FAILING:
            return f"is {judgement.condition} ({judgement.evidence})", True
        if judgement.condition not in WELL:
            return f"is unknown ({judgement.evidence})", False
    if node != source and (silent := _silent_since(situation, node, source)):
        return silent, False
    if by_hand := ladder.open_by_hand(situation, node, source):
        return f"waits until {by_hand} is closed, which root has opened by hand", True
    if ladder.may_yet_go_off(situation, node):
        return "may yet be switched off by what was begun", True
    if policy.node_by_name[node].fenced and view.facts is None:
        return f"has a mailward-node that does not answer ({view.helper_error})", False
    unclaimed = policy.node_by_name[node].fenced and not state.helper(node).claimed_in(state.epoch)
    if unclaimed and not situation.only_watches:
        return "has a mailward-node that is not claimed yet", False
    if alone := leases.unattended(situation, node):
        return alone, False
    return None


def _silent_since(situation: Situation, node: str, source: str) -> str:
    """I7: what silences both may be our own fault; then the verdict of one has only not turned yet."""
    policy, view = situation.snapshot.policy, situation.sight.nodes[node]
    for endpoint in policy.endpoints_of(source) if source else ():
        doubtful_for_s = situation.judgements[source, endpoint.name].doubtful_for_s
        answered_s = [view.services[name].answered_age_s for name in endpoint.services]
        if stopped_as_ordered(view):
            answered_s = [view.facts_age_s]
        if doubtful_for_s is not None and max(answered_s) > doubtful_for_s:
            return f"has not answered since {source} failed"
    return ""


def loss_s(situation: Situation, source: str, target: str) -> float | None:
    """Of how many seconds the mail accepted at `source` may be missing at `target`, at most; None: nobody
    knows. An older figure grows with its age: mail may have come in all the time."""
    if source in ("", target) or not situation.snapshot.policy.node_by_name[source].replicates:
        return 0.0
    lag = situation.sight.lags.get((source, target))
    if lag is None or lag.seconds is None or lag.confidence is Confidence.UNKNOWN:
        return None
    if (lag.failed_mailboxes or 0) > 0 or not lag.seconds >= 0:
        return None
    return lag.seconds + max(0.0, lag.age_s - _stopped_for_s(situation, source))


def _stopped_for_s(situation: Situation, source: str) -> float:
    """For how long nothing has been accepted any more, for certain."""
    state, now = situation.state, situation.snapshot.now
    power, ports, operation = state.power_of(source), state.ports_of(source), state.operation
    since = [word.at for word in (operation.vouched if operation is not None else ()) if word.node == source]
    if power is not None and power.off is FenceOutcome.CONFIRMED:
        since.append(power.at)
    if ports is not None and ports.closed:
        since.append(ports.at)
    if ports is not None and ports.lapsed is not None:
        since.append(ports.lapsed)
    return max((at.age_s(now) for at in since), default=0.0)


def too_much(situation: Situation, source: str, target: str, at_last: bool, accepted_s: float = 0.0) -> str:
    """Why what `target` lacks of the mail of `source` forbids a promotion, '' if it does not: more than
    policy and person accept. While `source` is not stopped and tells how far it is, the rest may still
    come."""
    rules, lost_s = situation.snapshot.policy.rules, loss_s(situation, source, target)
    lag = situation.sight.lags.get((source, target))
    if lost_s is None:
        if accepted_s == inf:
            return ""
        detail = f" ({lag.detail})" if lag is not None and lag.detail else ""
        return f"may lack mail of {source}, and nobody knows how much{detail}"
    most = {Loss.LOSSLESS: 0.0, Loss.BALANCED: rules.max_lag_s, Loss.AVAILABILITY: inf}[rules.loss]
    may_come = lag is not None and lag.confidence is Confidence.KNOWN and lost_s <= rules.max_lag_s
    if lost_s <= max(most, accepted_s) or (may_come and not at_last):
        return ""
    limit = f"{accepted_s:.0f} s, as accepted" if accepted_s > most else f"{most:.0f} s ({rules.loss})"
    return f"may lack up to {lost_s:.0f} s of the mail of {source}, more than {limit}"


def flaps_lately(situation: Situation, node: str) -> int:
    """How often a node has left service, of what is remembered for `flap_memory_s`."""
    now, memory_s = situation.snapshot.now, situation.snapshot.policy.rules.flap_memory_s
    mine = [flap for flap in situation.state.flaps if flap.node == node and flap.last.age_s(now) <= memory_s]
    return sum(flap.count for flap in mine)


def _rank(
    situation: Situation, source: str, operation: Operation | None, name: str
) -> tuple[int, int, int, bool, float, int]:
    policy = situation.snapshot.policy
    node = policy.node_by_name[name]
    lost_s = loss_s(situation, source, name)
    flaps = flaps_lately(situation, name)
    by_hand = operation is not None and (
        operation.cause is Cause.OPERATOR or operation.kind is Kind.SWITCHOVER
    )
    idle = stopped_as_ordered(situation.sight.nodes[name])
    return (
        (2 if by_hand or flaps >= FLAPS or idle else 0) if name == source else 1,
        -node.priority,
        flaps,
        bool(source) and node.site != policy.node_by_name[source].site,
        inf if lost_s is None else lost_s,
        policy.nodes.index(node),
    )
