"""A node's fencing ladder as text: `mailward fence`, and its line in `status` and `explain`. Pure."""

from collections.abc import Sequence

from mailward.app.layout import field, joined, wrapped
from mailward.app.status import FenceStatus, RungStatus, RungTried, Worked
from mailward.app.wording import duration, listed
from mailward.model.policy import RungKind

RUNG = 9
_OUTCOME, _TOOK = 11, 8
_WORKED = {Worked.WORKS: "works", Worked.FAILS: "FAILS", Worked.UNTRIED: "not tried"}


def proven(rung: RungStatus) -> str:
    """When it was last proven, and by whom where several may lead; '' where no test can."""
    by_age: dict[str, list[str]] = {}
    for observer, age_s in rung.proven_s.items():
        said = "never proven" if age_s is None else f"last proven {duration(age_s)} ago"
        by_age.setdefault(said, []).append(observer)
    alone = len(rung.proven_s) == 1
    return ", ".join(said if alone else f"{said} from {listed(names)}" for said, names in by_age.items())


def in_brief(rungs: Sequence[RungStatus]) -> str:
    """The whole ladder in a line."""
    told = [f"{each.rung}{': ' + proven(each) if each.proven_s else ''}" for each in rungs]
    return "; ".join(told) or "nothing can stop it but you"


def dry_run(shown: FenceStatus, width: int = 80) -> str:
    """What would be tried to stop a node, in order; nothing is."""
    out = wrapped(
        f"Dry run: to stop {shown.node} these would be tried in order, until one has stopped as much as "
        f"fence_scope demands: {shown.demanded}.",
        width,
    )
    tried = {each.rung: each for each in shown.tried}
    for rung in shown.rungs:
        out += ["", *field(rung.rung, rung.does, width, indent=0, column=RUNG)]
        told = []
        if rung.timeout_s is not None:
            waits = "" if rung.rung == RungKind.LEASE else f"; unknown after {rung.timeout_s:g} s"
            told.append(f"stops {rung.scope}: {rung.lacks or 'enough'}{waits}")
        if rung.rung in tried:
            told.append(_now(tried[rung.rung]))
        if rung.proven_s:
            told.append(proven(rung))
        out += [line for text in told for line in field("", text, width, indent=0, column=RUNG)]
    if not shown.rungs:
        out += ["", "Nothing is configured that could stop it."]
    return joined([*out, "", *wrapped(f"Next: mailward fence test {shown.node}", width)])


def _now(tried: RungTried) -> str:
    took = "" if tried.took_s is None else f" after {duration(tried.took_s)}"
    return f"now: {_WORKED[tried.worked]}{took}{': ' + tried.detail if tried.detail else ''}"


def table(shown: FenceStatus, width: int = 80) -> str:
    """What came of each rung, in a table."""
    out = [f"{'RUNG':<{RUNG}}{'OUTCOME':<{_OUTCOME}}TIME"]
    for each in shown.tried:
        took = "-" if each.took_s is None else duration(each.took_s)
        head = f"{each.rung:<{RUNG}}{_WORKED[each.worked]:<{_OUTCOME}}{took}"
        out += field(head, each.detail, width, indent=0, column=RUNG + _OUTCOME + _TOOK)
    return joined(out)
