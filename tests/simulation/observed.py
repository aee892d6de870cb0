"""What the observer of the search reports of a node, from the words for what it sees."""

from tests.simulation.canonical import NODES, SERVICE, SHORT_S

from mailward.model.fencing import NodeFacts
from mailward.model.health import Failure, FailureKind, ProbeResult, ServiceReport, Vantage, Verdict
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport, Report
from mailward.model.snapshot import ObserverView

UP, FAILED, GONE = "up", "failed", "gone"
"""What is true of a node's service: it answers, it has crashed, the host is out of reach."""
Seen = tuple[tuple[str, bool], tuple[str, bool]]
"""Of each node what is seen, and whether it has been so for `SHORT_S`."""

_REPORTS: dict[Seen, ObserverView] = {}


def report(seen: Seen) -> ObserverView:
    if seen not in _REPORTS:
        nodes = tuple(_of_node(name, *seen[i]) for i, name in enumerate(NODES))
        lags = tuple(Lag(a, b, Confidence.KNOWN, 0.0, 0, 0) for a in NODES for b in NODES if a != b)
        _REPORTS[seen] = ObserverView("watch", 1, Report("watch", 1, "search", nodes, lags), 0.0)
    return _REPORTS[seen]


def _of_node(name: str, view: str, settled: bool) -> NodeReport:
    up = view.startswith(UP)
    kind = FailureKind.TIMEOUT if view == GONE else FailureKind.REFUSED
    age = SHORT_S if settled else 0.0
    service = ServiceReport(
        SERVICE, Verdict.UP if up else Verdict.DOWN, Vantage.HELPER if "behind" in view else Vantage.DIRECT,
        verdict_age_s=age, probe_age_s=0.0, symptom_age_s=None if up else age,
        last=ProbeResult(None if up else Failure(kind, "connect")),
    )  # fmt: skip
    return NodeReport(name, (service,), None if view == GONE else _FACTS[name])


_FACTS = {name: NodeFacts(name, "boot", None, {}, True, {}, False, {}) for name in NODES}
