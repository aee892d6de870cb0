"""Failback: service goes back by itself to the node that is preferred, in a cluster. Pure.

Preferred is the node of the highest `priority`, where who serves has a lower one. To go back is a switchover
in every respect, which automation begins as the last thing it thinks of: where a failover has moved service
away, never on the day after the last time, and when the preferred node has been fit without a break for
`failback_after_s`. While a failover runs nobody is fit, so that much must have passed since the last one.
Where a person has put it, it stays. What the other node lacks is waited for with nobody served, so it begins
when that is nothing.

`State.homing` keeps what has to be known for long. A new host begins to count anew: clocks of hosts are not
compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mailward.controller.core import gates
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.cluster import candidates, succession, takeover
from mailward.controller.core.draft import Draft
from mailward.model.decision import Answered, Finding
from mailward.model.policy import Deployment, Failback, Rules
from mailward.model.replication import Confidence
from mailward.model.state import Cause, Homing, Kind, Phase

DAY_S = 86400.0
GATE = "failback"
_BY_ITSELF = (Failback.WINDOW, Failback.AUTO)


@dataclass(frozen=True, slots=True)
class Way:
    """From who serves (the case's node) back to who is preferred."""

    case: Case
    to: str

    @property
    def situation(self) -> Situation:
        return self.case.situation

    @property
    def rules(self) -> Rules:
        return self.case.snapshot.policy.rules

    @property
    def homing(self) -> Homing:
        return self.case.state.homing


def way(situation: Situation) -> Way | None:
    """None where the one that serves is preferred, nobody serves, or nobody wants to know."""
    policy, source = situation.snapshot.policy, succession.active(situation.state)
    if policy.deployment is not Deployment.CLUSTER or policy.rules.failback is Failback.NEVER or not source:
        return None
    endpoints = policy.endpoints_of(source)
    if source not in policy.node_by_name or not endpoints:
        return None
    highest = max(node.priority for node in policy.nodes)
    if policy.node_by_name[source].priority == highest:
        return None
    first = next(node.name for node in policy.nodes if node.priority == highest)
    best = (n for n in candidates.field(situation, source, None).fit if _priority(situation, n) == highest)
    return Way(Case(situation, source, endpoints[0]), next(best, first))


def _priority(situation: Situation, node: str) -> int:
    return situation.snapshot.policy.node_by_name[node].priority


def note(draft: Draft) -> None:
    """Since when the preferred node is fit; of no node where that is left to a person, so that none ever was
    for long enough."""
    back = way(draft.situation)
    fit = back.to if back is not None and back.rules.failback in _BY_ITSELF and not unfit(back) else ""
    homing, now = draft.state.homing, draft.now
    elsewhere = homing.since is not None and homing.since.boot_id != now.boot_id
    if fit != homing.fit or (fit and elsewhere):
        kept = replace(homing, fit=fit, since=now if fit else None)
        draft.state = replace(draft.state, homing=kept)


def begin(draft: Draft) -> None:
    """The switchover, if nothing holds it."""
    back = way(draft.situation)
    if back is None or held(back):
        return
    draft.state = replace(draft.state, homing=replace(draft.state.homing, tried=draft.now))
    why = f"failback: {back.to} is preferred, and fit to serve again"
    succession.begin(draft, Kind.SWITCHOVER, back.case.node, Cause.NONE, why, to=back.to)


def outlook(situation: Situation, node: str) -> Finding | None:
    """Of the node that is preferred to who serves: whether it is to serve by itself, and what holds that.
    None of others, and where that is left to a person."""
    back = way(situation)
    if back is None or back.to != node or back.rules.failback not in _BY_ITSELF:
        return None
    why = held(back)
    return Finding(GATE, Answered.NO if why else Answered.YES, why or "it goes back to serving")


def offer(situation: Situation) -> tuple[str, str]:
    """Who is preferred and could serve at once, and what holds that it does by itself, '' where that is left
    to a person; '' and '' where there is nobody."""
    back = way(situation)
    if back is None or unfit(back) or takeover.before_switchover(back.case, back.to):
        return "", ""
    return back.to, held(back) if back.rules.failback in _BY_ITSELF else ""


def held(back: Way) -> str:
    """What holds it, '' where nothing does: the first reason."""
    return next(filter(None, (guard(back) for guard in GUARDS)), "")


def unfit(back: Way) -> str:
    """Why the preferred node could not serve as well as who does."""
    situation, source, to = back.situation, back.case.node, back.to
    if failing_over(situation):
        return "a failover runs"
    field = candidates.field(situation, source, None)
    if to not in field.fit:
        return f"{to} {field.unfit[to][0]}"
    if any(record.phase is not Phase.STANDBY for record in situation.state.phases_of(to)):
        return f"{to} does not stand by"
    if not situation.snapshot.policy.node_by_name[to].replicates:
        return ""
    lag = situation.sight.lags.get((source, to))
    if lag is None or lag.seconds is None or lag.confidence is not Confidence.KNOWN:
        return f"nobody knows how far {to} is behind {source} by now"
    if lag.seconds > back.rules.caught_up_lag_s or (lag.failed_mailboxes or 0) > 0:
        return f"{to} is behind {source} by {lag.seconds:.0f} s"
    return ""


def failing_over(situation: Situation) -> bool:
    """Where it ends with the node that served before, the other stands by all the while; but service has
    failed."""
    running = situation.state.operation
    return running is not None and running.kind is Kind.FAILOVER


# what holds it


def does_not_act(back: Way) -> str:
    """Automation only observes, or does not trust what it sees."""
    found = [gate(back.case) for gate in (gates.acting, gates.self_trust)]
    return next((f"{f.gate}: {f.reason}" for f in found if f.answer is not Answered.YES), "")


def put_by_a_person(back: Way) -> str:
    """An operator's word is undone only by an operator's."""
    if back.homing.moved_to == back.case.node:
        return ""
    return f"{back.case.node} does not serve by a failover of mailward's own: it stays until you move it"


def tried_today(back: Way) -> str:
    """Once it has failed, or was undone by a failover, it would be so again."""
    tried, now = back.homing.tried, back.case.snapshot.now
    if tried is None or tried.age_s(now) >= DAY_S:
        return ""
    return f"tried {tried.age_s(now) / 3600:.1f} h ago, and at most once a day"


def flaps(back: Way) -> str:
    """Who has left service several times lately."""
    count = candidates.flaps_lately(back.situation, back.to)
    return f"{back.to} has left service {count} times lately" if count >= candidates.FLAPS else ""


def fit_for_long(back: Way) -> str:
    why, now, after_s = unfit(back), back.case.snapshot.now, back.rules.failback_after_s
    if why:
        return why
    since = back.homing.since
    counts = since is not None and back.homing.fit == back.to and since.boot_id == now.boot_id
    for_s = since.age_s(now) if counts and since is not None else 0.0
    return "" if for_s >= after_s else f"{back.to} is fit for {for_s:.0f} s, {after_s:.0f} s needed"


def lacks_something(back: Way) -> str:
    """Of the mail of who serves, by the newest figure: nobody is served until it has come."""
    lag = back.situation.sight.lags.get((back.case.node, back.to))
    if lag is None or not lag.seconds:
        return ""
    return f"{back.to} is behind {back.case.node} by {lag.seconds:.0f} s just now, and has to have all"


def outside_the_window(back: Way) -> str:
    """By the wall clock of whoever leads."""
    window = back.rules.failback_window
    if back.rules.failback is not Failback.WINDOW:
        return ""
    if window is not None and window.holds(back.case.snapshot.now.wall_s):
        return ""
    return f"it waits for {window.text if window is not None else 'a window, and none is configured'}"


def no_switchover(back: Way) -> str:
    """What holds one that a person asks for."""
    found = takeover.before_switchover(back.case, back.to)
    return "; ".join(f"{f.gate}: {f.reason}" for f in found)


GUARDS: tuple[Callable[[Way], str], ...] = (
    put_by_a_person, does_not_act, tried_today, flaps, fit_for_long, outside_the_window, lacks_something,
    no_switchover,
)  # fmt: skip
