"""The schema of `mailward status --json` and `GET /v1/status`, and of `explain`: plain frozen values.

This is an interface: fields are added, never renamed or given another meaning, and `schema` rises
when that rule must be broken. Times ending in `_unix_s` are wall-clock seconds since 1970; fields
ending in `_s` are durations or ages as of `at_unix_s`. None and '' mean "not known" and "nothing to
say". It holds no advice on layout: `app.render` turns it into text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailward.controller.core.reachability import Reach
from mailward.model.decision import Condition, Finding, Goal
from mailward.model.fencing import FenceOutcome, Scope
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Deployment
from mailward.model.replication import Lag
from mailward.model.snapshot import Standing
from mailward.model.state import Cause, Ending, Kind, Phase, Step

SCHEMA = 1


class Mode(StrEnum):
    """What automation does now. HELD: it wants to act, or to work at all, and something forbids it."""

    OBSERVING = "OBSERVING"
    ACTING = "ACTING"
    PAUSED = "PAUSED"
    HELD = "HELD"


@dataclass(frozen=True, slots=True)
class Automation:
    """`by` and `until_unix_s` are set while PAUSED; `node` is the first one held, '' if none is."""

    mode: Mode
    reason: str = ""
    by: str = ""
    until_unix_s: float | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to type next, and what for."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One (node, endpoint): the recorded phase, and the evidence of now. `held` says that its goal
    is forbidden by a gate."""

    endpoint: str
    phase: Phase | None
    for_s: float | None = None
    cause: Cause = Cause.NONE
    detail: str = ""
    condition: Condition = Condition.UNKNOWN
    evidence: str = ""
    row: int | None = None
    goal: Goal = Goal.STAY
    held: bool = False


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service of a node. `verdict` and `evidence` are what the observers agree on, `verdicts` what each
    says; the rest is as this observer sees it, `for_s` None where it sees something else. `took_s` is the
    duration of the last whole dialogue, stage by stage in `stages_s`."""

    service: str
    verdict: Verdict
    evidence: str = ""
    failure: str = ""
    vantage: Vantage = Vantage.DIRECT
    for_s: float | None = None
    probe_age_s: float | None = None
    symptom_for_s: float | None = None
    took_s: float | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    certificate_days: float | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortsStatus:
    """The client ports as last ordered (service to 'open', 'closed' or 'detoured to ...')."""

    ports: Mapping[str, str]
    fence: FenceOutcome
    scope: Scope
    token: str
    for_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PowerStatus:
    """What came of switching a node off. `off` CONFIRMED: it read off `for_s` ago, and has not answered
    since; otherwise it was last ordered `for_s` ago, and is not known to be off."""

    off: FenceOutcome
    for_s: float
    detail: str = ""

    @property
    def confirmed(self) -> bool:
        return self.off is FenceOutcome.CONFIRMED


@dataclass(frozen=True, slots=True)
class HelperStatus:
    """What `mailward-node` last said. `age_s` None: it never answered this daemon. `lease_s` is the lease
    under which its ports are open, None where they are not; `renewed_ago_s` None: nobody knows."""

    age_s: float | None = None
    error: str = ""
    forced_open: bool = False
    firewall_differs: bool = False
    package_manager: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    low_space: tuple[str, ...] = ()
    claimed: bool = False
    lease_s: float | None = None
    renewed_ago_s: float | None = None
    lease_ran_out: bool = False


@dataclass(frozen=True, slots=True)
class RungStatus:
    """One way to stop a node: what it `does`, how much that stops, and what that `lacks` of what is demanded,
    '' where it suffices. An order by it counts as unknown after `timeout_s`; a lease is over for certain
    then. `proven_s`: of each observer that may lead how long ago it tried it and it worked, None where it
    never did; empty where no test proves it."""

    rung: str
    does: str
    scope: Scope
    lacks: str = ""
    timeout_s: float | None = None
    proven_s: Mapping[str, float | None] = field(default_factory=dict)


class Worked(StrEnum):
    """What came of trying a rung without harm."""

    WORKS = "works"
    FAILS = "fails"
    UNTRIED = "not tried"  # there is nothing to try now, or no way to


@dataclass(frozen=True, slots=True)
class RungTried:
    rung: str
    worked: Worked
    detail: str = ""
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class FenceStatus:
    """The answer of `POST /v1/fence`: a node's ladder, in order, and what trying each rung from this observer
    came to. `demanded` is how much has to be stopped before another node takes over. With `test`: the request
    that has recorded what works, or why it is `unrecorded`."""

    schema: int
    node: str
    observer: str
    at_unix_s: float
    demanded: Scope
    rungs: tuple[RungStatus, ...]
    tried: tuple[RungTried, ...]
    request: str = ""
    unrecorded: str = ""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """`rungs` is the node's ladder, in a cluster. `power` None: it was not switched off, or answers again."""

    node: str
    site: str
    fenced: bool
    endpoints: tuple[EndpointStatus, ...]
    services: tuple[ServiceStatus, ...]
    helper: HelperStatus
    ports: PortsStatus | None = None
    rungs: tuple[RungStatus, ...] = ()
    power: PowerStatus | None = None


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """What a DNS target last took from us. `published` None: nothing of ours yet, or, with a `token`, an
    update was sent and is not confirmed."""

    target: str
    claimed: bool
    published: tuple[str, ...] | None = None
    token: str = ""
    for_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """One action of the running step: `result` '' while the order is out."""

    action: str
    tries: int
    ago_s: float
    result: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MarkStatus:
    """A part of an operation: `began_s` after that started (below 0: before it), all the time it took."""

    part: str
    began_s: float
    lasted_s: float


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """An operation, running (`ending` None) or over. `waits_for`: why its step is not done yet; `to`: who
    takes over, where one serves. `marks`: how long each part of it took, in the order in which they began;
    `detect` is from the first failed probe to the verdict, `agree` from that to the start."""

    id: str
    kind: Kind
    node: str
    endpoints: tuple[str, ...]
    step: Step
    reason: str
    cause: Cause
    started_unix_s: float
    running_s: float
    step_for_s: float
    attempts: tuple[AttemptStatus, ...] = ()
    waits_for: str = ""
    notes: tuple[str, ...] = ()
    request: str | None = None
    ending: Ending | None = None
    ended_ago_s: float | None = None
    detail: str = ""
    to: str = ""
    marks: tuple[MarkStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class EpisodeStatus:
    """A failure that was ridden out, or only watched; `ended` '' while it lasts."""

    node: str
    endpoint: str
    began_unix_s: float
    would: str
    seen: str
    ended: str
    lasted_s: float


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """A request that nobody has answered yet; `waits_for` is what holds it, '' where nothing does. Of one for
    later, `due_unix_s` is its time and `due_in_s` how soon that is; None of one that is due."""

    id: str
    kind: str
    node: str
    by: str
    waiting_s: float
    waits_for: str = ""
    due_unix_s: float | None = None
    due_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class ObserverStatus:
    """A configured observer. `void` is why its word counts for nothing, '' where it counts;
    `report_age_s` None: nobody knows. `reaches` says of every node whether it does, as far as its word
    counts. `apart`: why this daemon is not connected to it directly, '' where it is, or need not be."""

    observer: str
    site: str
    votes: int
    leads: bool
    void: str = ""
    report_age_s: float | None = None
    reaches: Mapping[str, Reach] = field(default_factory=dict)
    apart: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One screen. `healthy` is the answer of `status --check`: every node in service and well,
    automation neither paused nor held. `unbelieved` says why what is recorded of the nodes (phases, ports)
    does not count, so that the probes alone do; '' where it does. `recorded_age_s` is how long ago the
    store was last read: phases, ports, targets and operations are as of then. `cuts` are sentences about
    lines that are cut, as the observers that count see it."""

    schema: int
    version: str
    cluster: str
    deployment: Deployment | None
    observer: str
    standing: Standing | None
    at_unix_s: float
    uptime_s: float
    ready: bool
    not_ready: str
    healthy: bool
    automation: Automation
    headline: str
    nodes: tuple[NodeStatus, ...] = ()
    lags: tuple[Lag, ...] = ()
    targets: tuple[TargetStatus, ...] = ()
    operation: OperationStatus | None = None
    ended: tuple[OperationStatus, ...] = ()
    episodes: tuple[EpisodeStatus, ...] = ()
    tallies: Mapping[str, int] = field(default_factory=dict)
    requests: tuple[WaitingRequest, ...] = ()
    notices: tuple[str, ...] = ()
    next: tuple[Suggestion, ...] = ()
    unbelieved: str = ""
    observers: tuple[ObserverStatus, ...] = ()
    recorded_age_s: float | None = None
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one (node, endpoint) is treated as it is. `so` says in a sentence what follows. `rungs` is the
    node's ladder, in a cluster; `ports` are its client ports; `power` as in `NodeStatus`."""

    node: str
    endpoint: str
    phase: Phase | None
    for_s: float | None
    cause: Cause
    condition: Condition
    evidence: str
    row: int
    row_name: str
    goal: Goal
    held: bool
    findings: tuple[Finding, ...]
    so: str
    rungs: tuple[RungStatus, ...] = ()
    ports: PortsStatus | None = None
    power: PowerStatus | None = None


@dataclass(frozen=True, slots=True)
class Explanations:
    """The answer of `mailward explain --json` and `GET /v1/explain`; `unbelieved` as in `Status`."""

    schema: int
    cluster: str
    at_unix_s: float
    automation: Automation
    headline: str
    explanations: tuple[Explained, ...]
    operation: OperationStatus | None = None
    ended: tuple[OperationStatus, ...] = ()
    notices: tuple[str, ...] = ()
    next: tuple[Suggestion, ...] = ()
    unbelieved: str = ""
    requests: tuple[WaitingRequest, ...] = ()


class Progress(StrEnum):
    """How far a request has come. SCHEDULED: its time has not come. ACCEPTED: taken up, and its operation is
    no longer remembered. The last three are an operation's `Ending`."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    REFUSED = "refused"
    RUNNING = "running"
    ACCEPTED = "accepted"
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    HANDED_OVER = "handed-over"


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """The answer to leaving a request, and of `GET /v1/requests/{id}`. For a dry run `would_send`
    lists the orders of its first step and `explanations` the gates. While it is SCHEDULED `due_unix_s` is its
    time, and `detail` what would hold it now."""

    id: str
    progress: Progress
    detail: str = ""
    operation: OperationStatus | None = None
    dry_run: bool = False
    would_send: tuple[str, ...] = ()
    explanations: tuple[Explained, ...] = ()
    due_unix_s: float | None = None
