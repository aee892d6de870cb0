"""Who may lead, and when a leader is deposed before its session has ended. Pure.

Who runs with another configuration than most could only hold everything: it leaves the lead to them. A
configuration that is rolled out leads as soon as most have it. Who reaches no node could fence none: it
leaves the lead to others who reach some, if they are enough to decide.

Deposed is whose process was seen to end. Only time is won by it. Whoever is deposed can record nothing any
more, since recording checks the epoch, and nothing is sent that was not recorded: what it had begun ends by
the expiry recorded with it, however long it goes on believing that it leads. Receivers that refuse old tokens
are used at once, the others are left alone until then (`expiry.earlier_orders_expired`). So to depose in
error costs a change of leaders and no more. All the same it takes the votes that any automatic action takes
(I6).

A leader that is silent, frozen or cut off is not gone: it may be at work, and its session decides.
"""

from collections import Counter

from mailward.controller.core.reachability import Reach, reached_by, reaches_none
from mailward.controller.core.sight import trusted, unheard
from mailward.model.decision import Answered, Finding
from mailward.model.snapshot import Leader, Snapshot, Standing

_LEAD = "lead"
_GATE = "depose"


def may_lead(snapshot: Snapshot, ours: str) -> Finding:
    """Whether the observer `ours` may lead, as far as it can judge of itself."""
    if finding := with_another_configuration(snapshot):
        return finding
    if finding := _blind(snapshot, ours):
        return finding
    return Finding(_LEAD, Answered.YES, "nothing speaks against it")


def with_another_configuration(snapshot: Snapshot) -> Finding | None:
    """While most of those that are heard, by votes, have another configuration than ours: by ours nothing
    would be decided, whoever leads."""
    policy = snapshot.policy
    views = {view.name: view for view in snapshot.observers}
    votes: Counter[str] = Counter()
    others: dict[str, list[str]] = {}
    for observer in policy.observers:
        view = views.get(observer.name)
        if view is None or view.report is None or unheard(view, snapshot):
            continue
        digest = view.report.config_digest
        votes[digest] += observer.votes
        others.setdefault(digest, []).append(observer.name)
    for digest, agreed in votes.items():
        if digest != policy.digest and agreed >= policy.votes_needed:
            names = ", ".join(others[digest])
            reason = f"runs with another configuration than {names}, who are enough to decide without it"
            return Finding(_LEAD, Answered.NO, reason)
    return None


def _blind(snapshot: Snapshot, ours: str) -> Finding | None:
    """While we reach no node, and others, who are enough, reach some."""
    if not reaches_none(snapshot, ours):
        return None
    voters, _ = trusted(snapshot)
    leads = {observer.name for observer in snapshot.policy.observers if observer.leads}
    better = [view for view in voters if view.name != ours and _reaches_some(snapshot, view.name)]
    enough = sum(view.votes for view in better) >= snapshot.policy.votes_needed
    if not enough or leads.isdisjoint(view.name for view in better):
        return None
    names = ", ".join(view.name for view in better)
    reason = f"reaches no mail server; {names}, who do, are enough to decide without it"
    return Finding(_LEAD, Answered.NO, reason)


def _reaches_some(snapshot: Snapshot, observer: str) -> bool:
    return Reach.YES in reached_by(snapshot, observer).values()


def may_depose(snapshot: Snapshot) -> Finding:
    """Whether to stand against the snapshot's leader; the reason says who saw what."""
    leader, needed = snapshot.leader, snapshot.policy.votes_needed
    if snapshot.standing is not Standing.FOLLOWING:
        return Finding(_GATE, Answered.NO, f"this controller is {snapshot.standing}, it follows nobody")
    if leader is None:
        return Finding(_GATE, Answered.NO, "there is nobody to depose")
    voters, blind = trusted(snapshot)
    void = "; ".join(f"{name}: {why}" for name, why in blind.items())
    saw = [v for v in voters if v.name != leader.name and v.report and leader.nonce in v.report.gone]
    votes = sum(view.votes for view in saw)
    names = ", ".join(view.name for view in saw)
    if not saw:
        unheard_of = f" ({void})" if void else ""
        return Finding(_GATE, Answered.NO, f"nobody has seen the process of {_named(leader)} end{unheard_of}")
    if votes >= needed:
        return Finding(_GATE, Answered.YES, f"{names} saw the process of {_named(leader)} end")
    reason = f"only {names} saw the process of {_named(leader)} end: {votes} of {needed} votes needed"
    reason += f"; {void}" if void else ""
    return Finding(_GATE, Answered.UNKNOWN, reason)


def _named(leader: Leader) -> str:
    return f"{leader.name}, which leads with epoch {leader.epoch},"
