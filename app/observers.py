"""The observers' status out of the view: who leads, who counts, and what else to notice of them. Pure."""

from mailward.app.live import View
from mailward.app.status import ObserverStatus
from mailward.app.wording import duration, printable
from mailward.controller.core.leadership import may_lead, with_another_configuration
from mailward.controller.core.reachability import reachability
from mailward.controller.core.sight import trusted
from mailward.model.decision import Answered
from mailward.model.snapshot import Snapshot, Standing


def observers(view: View) -> tuple[ObserverStatus, ...]:
    """Every configured one, in their order."""
    snapshot = view.snapshot
    if snapshot is None:
        return ()
    views = {each.name: each for each in snapshot.observers}
    void, matrix = trusted(snapshot)[1], reachability(snapshot).matrix
    leader = _leader(view)
    found = []
    for observer in snapshot.policy.observers:
        heard = views.get(observer.name)
        known = heard is not None and heard.report is not None and heard.age_s < float("inf")
        found.append(
            ObserverStatus(
                observer=observer.name,
                site=observer.site or "",
                votes=observer.votes,
                leads=observer.name == leader,
                void=printable(void.get(observer.name, "")),
                report_age_s=heard.age_s if known and heard is not None else None,
                reaches=matrix.get(observer.name, {}),
                apart=printable(view.apart.get(observer.name, "")),
            )
        )
    return tuple(found)


def standing(view: View) -> Standing | None:
    """What this daemon may do just now: a lead that would not count any more is none."""
    if view.snapshot is None:
        return None
    led = view.snapshot.standing
    return Standing.FOLLOWING if led is Standing.LEADING and not view.may_act else led


def _leader(view: View) -> str:
    """Who leads, '' where nobody is known to."""
    if view.snapshot is None or view.not_ready:
        return ""
    if view.snapshot.leader is not None:
        return view.snapshot.leader.name
    return view.observer if standing(view) is Standing.LEADING else ""


def cuts(snapshot: Snapshot) -> tuple[str, ...]:
    """What of the lines between observers and nodes seems to be cut; one observer alone cannot tell."""
    if len(snapshot.policy.observers) == 1:
        return ()
    return tuple(printable(each, 300) for each in reachability(snapshot).cuts)


def too_few(snapshot: Snapshot) -> str:
    """Why nothing can be agreed on, '' where enough observers count."""
    voters, blind = trusted(snapshot)
    votes, needed = sum(each.votes for each in voters), snapshot.policy.votes_needed
    if votes >= needed:
        return ""
    if other := with_another_configuration(snapshot):
        return f"this daemon {other.reason}"
    void = "; ".join(f"{name}: {why}" for name, why in blind.items())
    return f"only {votes} of {needed} votes that are needed count; {void}"


def notices(view: View) -> tuple[str, ...]:
    """What a person should know of the observers though it stops nothing yet."""
    snapshot, found = view.snapshot, []
    if view.rival:
        found.append(
            f"another process reports as {view.observer}: two daemons have the same `observer`, or one was "
            "started twice; stop one of them"
        )
    if view.lease is not None and view.lease.trouble:
        found.append(f"the lease of {view.lease.node} is not renewed: {view.lease.trouble}")
    elif view.lease is not None and view.lease.by_promise:
        found.append(
            f"{view.lease.node} goes on serving without the store: all daemons have promised not to lead. Do "
            f"not restart the daemon beside {view.lease.node} now: it could renew nothing, and the client "
            f"ports would close; where they have: mailward-node open --force on {view.lease.node}"
        )
    if view.bound:
        found.append(f"this daemon does not lead yet: {view.bound}")
    found += [told for each in view.certificates if (told := each.told(view.now.wall_s))]
    if snapshot is None or len(snapshot.policy.observers) == 1:
        return tuple(printable(each, 300) for each in found)
    if view.not_ready and view.read_at is not None:
        ago = duration(view.read_at.age_s(view.now))
        found.append(f"what is recorded was read {ago} ago; what is seen of the nodes is of now")
    elif (leading := may_lead(snapshot, view.observer)).answer is Answered.NO:
        found.append(f"this daemon does not lead: it {leading.reason}")
    else:
        found += [f"{name} does not count: {why}" for name, why in trusted(snapshot)[1].items()]
    return tuple(printable(each, 300) for each in found)
