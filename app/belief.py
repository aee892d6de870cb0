"""Whether what is recorded of the nodes counts. Pure.

It does not in an old copy of the store, nor while nothing is recorded: then the probes alone say who serves.
"""

from mailward.app.live import View
from mailward.app.wording import printable

OLD_COPY = "what is recorded is not believed"
NOTHING = "nothing is recorded yet"


def superseded(view: View) -> str:
    """Who else leads, or that this store is an old copy; '' where neither is known. It is recorded, so that
    who only follows knows it as well."""
    if view.snapshot is None or view.decision is None:
        return ""
    return view.decision.superseded or view.decision.state.superseded or view.snapshot.state.superseded


def unbelieved(view: View) -> str:
    """Why what is recorded of the nodes does not count, '' where it does."""
    if view.snapshot is None or view.decision is None:
        return ""
    if superseded(view):
        return OLD_COPY
    if view.snapshot.state.phases:
        return ""
    waits_for = printable(view.decision.waits_for, 400)
    return f"{NOTHING} ({waits_for})" if waits_for else NOTHING
