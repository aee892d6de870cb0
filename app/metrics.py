"""Prometheus metrics, made anew from one `View` at each scrape, in a registry of their own.

Labels are names from the configuration or members of enums: their number is bounded by the cluster,
never by what clients or servers send. A state is one series for each value it may have, of which one is
1. What is not known has no series, or a series of its own that says so; it is never 0.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from mailward.app import summary
from mailward.app.certificates import DAY_S
from mailward.app.live import Counters, Live, View
from mailward.app.status import Mode, NodeStatus, ServiceStatus, Status
from mailward.model.decision import Condition
from mailward.model.fencing import FenceOutcome
from mailward.model.health import Verdict
from mailward.model.ports import Commit
from mailward.model.replication import Confidence
from mailward.model.state import Phase

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MOST_STAGES = 16
MOST_TALLIES = 32


def registry(live: Live) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(_Collector(live))
    return made


def text(made: CollectorRegistry) -> bytes:
    return generate_latest(made)


class _Collector(Collector):
    def __init__(self, live: Live) -> None:
        self._live = live

    def describe(self) -> Iterable[Metric]:
        """Nothing: collecting once just to learn the names would need a running loop."""
        return ()

    def collect(self) -> Iterator[Metric]:
        view = self._live.view()
        status = summary.status_of(view)
        yield from _daemon(status, view.counters, view.started.wall_s)
        yield from _nodes(status.nodes)
        yield from _services(status.nodes)
        yield from _stages(status.nodes)
        yield from _replication(status)
        yield from _dns(status)
        yield from _operations(status)
        yield _own_certificates(view)
        if view.snapshot is not None:
            age = GaugeMetricFamily("mailward_loop_age_seconds", "Since the loop last decided.")
            age.add_metric((), view.snapshot.now.age_s(view.now))
            yield age


def _daemon(status: Status, counters: Counters, started_unix_s: float) -> Iterator[Metric]:
    build = InfoMetricFamily("mailward_build", "The version that runs.")
    build.add_metric((), {"version": status.version})
    yield build
    yield _single("mailward_start_time_seconds", "When the daemon started, since 1970.", started_unix_s)
    yield _single("mailward_ready", "1 if the daemon can do its work.", float(status.ready))
    yield _single("mailward_healthy", "1 if all nodes serve and are well.", float(status.healthy))
    state = GaugeMetricFamily("mailward_automation_state", "What automation does now.", labels=("state",))
    for mode in Mode:
        state.add_metric((mode.value.lower(),), float(mode is status.automation.mode))
    yield state
    yield _count("mailward_loop_rounds", "Decisions taken since the start.", counters.steps)
    yield _count("mailward_loop_errors", "Rounds of the loop that failed since the start.", counters.errors)
    yield _count("mailward_orders_sent", "Orders sent since the start.", counters.orders_sent)
    yield _single("mailward_loop_round_seconds", "How long the newest round took.", counters.last_step_s)
    commits = CounterMetricFamily("mailward_commits", "Records by the store's answer.", labels=("result",))
    for result in Commit:
        commits.add_metric((result.value.lower(),), counters.commits.get(result, 0))
    yield commits


def _nodes(nodes: tuple[NodeStatus, ...]) -> Iterator[Metric]:
    place = ("node", "endpoint")
    phases = GaugeMetricFamily("mailward_phase", "The recorded decision.", labels=(*place, "phase"))
    conditions = GaugeMetricFamily("mailward_condition", "The evidence.", labels=(*place, "condition"))
    held = GaugeMetricFamily("mailward_held", "1 if a gate forbids what automation wants.", labels=place)
    helpers = GaugeMetricFamily("mailward_helper_up", "1 if the node's helper answers.", labels=("node",))
    fences = GaugeMetricFamily(
        "mailward_fence_outcome",
        "What the last order to the client ports achieved.",
        labels=("node", "outcome"),
    )
    renewed = GaugeMetricFamily(
        "mailward_lease_age_seconds",
        "Since the lease of the client ports was renewed.",
        labels=("node",),
    )
    ran_out = GaugeMetricFamily(
        "mailward_lease_ran_out", "1 if the kernel refuses clients because nobody renewed.", labels=("node",)
    )
    off = GaugeMetricFamily(
        "mailward_switched_off", "1 if it was switched off, read back off, and is silent.", labels=("node",)
    )
    for node in nodes:
        if node.power is not None and node.power.off is not FenceOutcome.UNKNOWN:
            off.add_metric((node.node,), float(node.power.confirmed))
        if node.helper.lease_s is not None:
            ran_out.add_metric((node.node,), float(node.helper.lease_ran_out))
        if node.helper.renewed_ago_s is not None:
            renewed.add_metric((node.node,), node.helper.renewed_ago_s)
        for each in node.endpoints:
            where = (node.node, each.endpoint)
            for phase in Phase if each.phase is not None else ():
                phases.add_metric((*where, phase.value), float(phase is each.phase))
            for condition in Condition:
                conditions.add_metric((*where, condition.value), float(condition is each.condition))
            held.add_metric(where, float(each.held))
        if node.fenced:
            up = node.helper.age_s is not None and not node.helper.error
            helpers.add_metric((node.node,), float(up))
        for outcome in FenceOutcome if node.ports else ():
            now = node.ports is not None and outcome is node.ports.fence
            fences.add_metric((node.node, outcome.value.lower()), float(now))
    yield from (phases, conditions, held, helpers, fences, renewed, ran_out, off)


def _each(nodes: tuple[NodeStatus, ...]) -> Iterator[tuple[tuple[str, str], ServiceStatus]]:
    for node in nodes:
        for service in node.services:
            yield (node.node, service.service), service


def _services(nodes: tuple[NodeStatus, ...]) -> Iterator[Metric]:
    place = ("node", "service")
    verdicts = GaugeMetricFamily("mailward_verdict", "The verdict.", labels=(*place, "verdict"))
    ages = GaugeMetricFamily("mailward_probe_age_seconds", "Since the last probe ended.", labels=place)
    certificates = GaugeMetricFamily(
        "mailward_certificate_remaining_seconds", "Until the certificate ends.", labels=place
    )
    for where, service in _each(nodes):
        for verdict in Verdict:
            verdicts.add_metric((*where, verdict.value.lower()), float(verdict is service.verdict))
        if service.probe_age_s is not None:
            ages.add_metric(where, service.probe_age_s)
        if service.certificate_days is not None:
            certificates.add_metric(where, service.certificate_days * DAY_S)
    yield from (verdicts, ages, certificates)


def _own_certificates(view: View) -> Metric:
    left = GaugeMetricFamily(
        "mailward_own_certificate_remaining_seconds",
        "Until what this daemon shows (cert_file) or trusts (ca_file) ends.",
        labels=("file",),
    )
    for each in view.certificates:
        if each.until_unix_s is not None:
            left.add_metric((each.key,), each.until_unix_s - view.now.wall_s)
    return left


def _stages(nodes: tuple[NodeStatus, ...]) -> Iterator[Metric]:
    stages = GaugeMetricFamily(
        "mailward_probe_stage_seconds", "The last probe, by stage.", labels=("node", "service", "stage")
    )
    for where, service in _each(nodes):
        for stage, seconds in sorted(service.stages_s.items())[:MOST_STAGES]:
            stages.add_metric((*where, stage), seconds)
    yield stages


def _replication(status: Status) -> Iterator[Metric]:
    way = ("source", "target")
    known = GaugeMetricFamily("mailward_replication_lag_known", "1 if the lag is known now.", labels=way)
    seconds = GaugeMetricFamily(
        "mailward_replication_lag_seconds", "How far the target is behind.", labels=way
    )
    waiting = GaugeMetricFamily("mailward_replication_waiting_mailboxes", "Mailboxes that wait.", labels=way)
    for lag in status.lags:
        where = (lag.source, lag.target)
        known.add_metric(where, float(lag.confidence is Confidence.KNOWN))
        if lag.confidence is Confidence.KNOWN and lag.seconds is not None:
            seconds.add_metric(where, lag.seconds)
        if lag.confidence is Confidence.KNOWN and lag.mailboxes is not None:
            waiting.add_metric(where, lag.mailboxes)
    yield from (known, seconds, waiting)


def _dns(status: Status) -> Iterator[Metric]:
    claimed = GaugeMetricFamily("mailward_dns_target_claimed", "1 if it took our token.", labels=("target",))
    for target in status.targets:
        claimed.add_metric((target.target,), float(target.claimed))
    yield claimed


def _operations(status: Status) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "mailward_operation_running_seconds", "How long the operation has run.", labels=("kind", "node")
    )
    if status.operation is not None:
        running.add_metric((status.operation.kind.value, status.operation.node), status.operation.running_s)
    yield running
    later = sum(1 for each in status.requests if each.due_unix_s is not None)
    waiting = len(status.requests) - later
    yield _single("mailward_requests_waiting", "Requests that are due, and not yet taken up.", waiting)
    yield _single("mailward_requests_scheduled", "Requests whose time has not come.", later)
    tallies = CounterMetricFamily("mailward_recorded_events", "Events in the record.", labels=("event",))
    for event, count in sorted(status.tallies.items())[:MOST_TALLIES]:
        tallies.add_metric((event,), count)
    yield tallies


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
