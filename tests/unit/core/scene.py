"""A scene: a small cluster as the core sees it, and what becomes of the orders it gives.

Verdicts, facts, lags, pause and requests are set by hand; ages follow from the scene's own clock.
`step` decides once and carries the state over; every order sent is answered in the next step as
`answers` says for its kind (None: never), DONE unless told otherwise; one with a hook as `hooks` says for
"HOOK:NODE" or "HOOK".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mailward.controller.core.decide import decide
from mailward.controller.core.phases import may_follow
from mailward.model.clock import Moment
from mailward.model.decision import Answered, Decision, Explanation, Finding
from mailward.model.fencing import FenceOutcome, NodeFacts, PortKind, Scope, Space, UnitState
from mailward.model.health import Failure, FailureKind, ProbeResult, ServiceReport, Vantage, Verdict
from mailward.model.orders import Action, Order, OrderPorts, Outcome, PowerOff, Publish, Result
from mailward.model.policy import (
    Automation,
    Deployment,
    Endpoint,
    Node,
    Observer,
    Policy,
    Rules,
    Rung,
    RungKind,
    Service,
)
from mailward.model.replication import Confidence, Lag
from mailward.model.report import LeaseReport, NodeReport, Report
from mailward.model.snapshot import ObserverView, Snapshot, Standing, Versions
from mailward.model.state import (
    Cause,
    Ending,
    Kind,
    Pause,
    Phase,
    PhaseRecord,
    Request,
    RequestKind,
    State,
)

STORE = "0123456789ab"
MAIL = "mail.example.test"
START_S = 100_000.0
WALL_S = 1_700_000_000.0
LADDER = (RungKind.HELPER, RungKind.AGENT)
ALL_WAYS = (RungKind.ASK, *LADDER)
GIB = 1024**3
SERVICES = (
    Service("smtp", 25, "smtp"),
    Service("submission", 587, "submission"),
    Service("imaps", 993, "imaps"),
)


def policy_of(
    names: Sequence[str] = ("a", "b"),
    endpoints: Sequence[Endpoint] = (),
    *,
    rules: Rules | None = None,
    automation: Automation = Automation.ACT,
    observers: Sequence[Observer] = (Observer("watch", "graz"),),
    deployment: Deployment = Deployment.HYBRID,
) -> Policy:
    """Nodes `names`, each with an IPv4 and an IPv6 address, behind `endpoints` or one of all services."""
    nodes = tuple(
        Node(name, f"site-{name}", (f"192.0.2.{10 + i}", f"2001:db8::{10 + i}"), hostname=f"{name}.test")
        for i, name in enumerate(names)
    )
    everything = tuple(service.name for service in SERVICES)
    wanted = tuple(endpoints) or (Endpoint(MAIL, everything, tuple(names), 30, ("ns1",)),)
    return Policy(
        cluster="test",
        deployment=deployment,
        automation=automation,
        services=SERVICES,
        nodes=nodes,
        endpoints=wanted,
        observers=tuple(observers),
        targets=tuple(sorted({target for endpoint in wanted for target in endpoint.targets})),
        rules=rules or Rules(),
        digest="d1",
    )


def cluster_of(
    names: Sequence[str] = ("a", "b"), *, rungs: Sequence[RungKind] = (RungKind.HELPER,), **more: Any
) -> Policy:
    """A cluster of nodes with a ladder each; `more` as for `policy_of`."""
    policy = policy_of(names, deployment=Deployment.CLUSTER, **more)
    taking_s = {RungKind.AGENT: 40.0, RungKind.LEASE: policy.rules.lease_over_s or 35.5}
    ladder = tuple(Rung(kind, taking_s.get(kind, 8.0)) for kind in rungs)
    return replace(policy, nodes=tuple(replace(node, ladder=ladder) for node in policy.nodes))


def imap_and_smtp(names: Sequence[str] = ("a", "b")) -> tuple[Endpoint, Endpoint]:
    """Two endpoints that share a service: `imaps` alone, and `imaps` with `submission`."""
    return (
        Endpoint("imap.example.test", ("imaps",), tuple(names), 30, ("ns1",)),
        Endpoint(MAIL, ("submission", "imaps"), tuple(names), 30, ("ns1",)),
    )


@dataclass(frozen=True)
class Seen:
    """What is seen of one service; times are boot seconds of the scene's clock.

    `answered_s`: when a dialogue last went well (None: all the time)."""

    verdict: Verdict = Verdict.UP
    since_s: float = 0.0
    symptom_s: float | None = None
    failure: Failure | None = None
    answered_by: str | None = None
    answered_s: float | None = None


@dataclass(frozen=True)
class Voice:
    """How one observer differs from the rest; `silent` has never reported, `lost` nodes it does not reach."""

    age_s: float = 0.0
    silent: bool = False
    tilted: bool = False
    digest: str = "d1"
    lost: tuple[str, ...] = ()
    sees: Mapping[tuple[str, str], Seen] = field(default_factory=dict)


class Scene:
    """Mutable: a test says what happens, steps, and looks."""

    def __init__(self, policy: Policy | None = None, *, epoch: int = 1) -> None:
        self.policy = policy or policy_of()
        self.state = State(STORE, 0)
        self.epoch = epoch
        self.now_s = START_S
        self.boot_id = "boot-1"
        self.ahead_s = self.unchanged_s = 0.0
        self.standing = Standing.LEADING
        self.may_act_until_s = float("inf")
        self.seen: dict[tuple[str, str], Seen] = {}
        self.facts: dict[str, NodeFacts | None] = {n.name: facts(n.name) for n in self.policy.nodes}
        self.facts_age_s = 0.5
        self.lags: dict[tuple[str, str], Lag] = {}
        self.voices: dict[str, Voice] = {}
        self.looked_at_behind: tuple[str, ...] = ()
        self.pause: Pause | None = None
        self.requests: list[Request] = []
        self.asked = 0
        self.answers: dict[str, Result | None] = {}
        self.details: dict[str, str] = {}
        self.hooks: dict[str, Result | None] = {}
        self.never_leave: set[str] = set()
        self.scope = Scope.USERS
        self.kept: dict[str, tuple[float, LeaseReport]] = {}
        """By observer since when its newest report is there, and what that tells of a lease."""
        self.outcomes: list[Outcome] = []
        self.sent: list[Order] = []
        self.notices: list[str] = []
        names = list(self.policy.node_by_name)
        for source in names:
            for target in names:
                if source != target:
                    self.lags[source, target] = Lag(source, target, Confidence.KNOWN, 0.0, 0, 0)

    @classmethod
    def settled(cls, policy: Policy | None = None) -> "Scene":
        """A cluster that runs: everything up, claimed, published and verified."""
        scene = cls(policy)
        scene.run(5)
        assert scene.state.operation is None
        assert not scene.state.orders
        scene.sent.clear()
        scene.notices.clear()
        return scene

    @classmethod
    def of_a_cluster(cls, policy: Policy | None = None) -> "Scene":
        """A cluster that runs: the first node serves, the others stand by behind closed ports."""
        policy = policy or cluster_of()
        scene = cls(policy)
        first, *others = policy.nodes
        now, names = scene.now, [endpoint.name for endpoint in policy.endpoints]
        serving = [PhaseRecord(first.name, name, Phase.IN_SERVICE, now) for name in names]
        waiting = [PhaseRecord(n.name, name, Phase.STANDBY, now) for n in others for name in names]
        scene.state = replace(scene.state, phases=(*serving, *waiting))
        scene.run(40)
        assert scene.state.operation is None
        assert not scene.state.orders
        scene.sent.clear()
        scene.notices.clear()
        return scene

    # what happens

    def down(
        self,
        node: str,
        *services: str,
        for_s: float = 0.0,
        kind: FailureKind = FailureKind.REFUSED,
        stage: str = "connect",
    ) -> None:
        """Services of a node (all if none is named) are DOWN, the first symptom `for_s` ago."""
        since = self.now_s - for_s
        for service in services or tuple(s.name for s in self.policy.services):
            self.seen[node, service] = Seen(Verdict.DOWN, since, since, Failure(kind, stage))

    def gone(self, node: str, for_s: float = 0.0) -> None:
        """Nothing of a node answers any more, its helper included."""
        self.down(node, for_s=for_s, kind=FailureKind.TIMEOUT)
        self.facts[node] = None

    def up(self, node: str, *services: str, for_s: float = 0.0) -> None:
        for service in services or tuple(s.name for s in self.policy.services):
            self.seen[node, service] = Seen(Verdict.UP, self.now_s - for_s)

    def back(self, node: str, for_s: float = 0.0) -> None:
        """All of a node answers again."""
        self.up(node, for_s=for_s)
        self.facts[node] = facts(node)

    def unknown(self, node: str, *services: str) -> None:
        for service in services or tuple(s.name for s in self.policy.services):
            self.seen[node, service] = Seen(Verdict.UNKNOWN, self.now_s)

    def recovering(self, node: str, *services: str) -> None:
        """The newest dialogue went well, the verdict is still DOWN."""
        for service in services or tuple(s.name for s in self.policy.services):
            self.seen[node, service] = replace(self.seen[node, service], failure=None)

    def lag(self, source: str, target: str, seconds: float | None, failed: int = 0) -> None:
        """`seconds` None: nobody knows."""
        confidence = Confidence.KNOWN if seconds is not None else Confidence.UNKNOWN
        mailboxes = None if seconds is None else int(seconds > 0)
        self.lags[source, target] = Lag(source, target, confidence, seconds, mailboxes, failed)

    def restarting(self, node: str, state: UnitState = UnitState.RESTARTING) -> None:
        self.facts[node] = replace(facts(node), units={"dovecot": state})

    def disk(self, node: str, free_bytes: int = 10 * GIB, free_inodes: int = 10**6) -> None:
        space = Space(free_bytes, 20 * GIB, free_inodes, 2 * 10**6)
        self.facts[node] = replace(facts(node), paths={"/var/mail": space})

    def ask(self, kind: RequestKind, node: str, *, force: bool = False, reason: str = "because") -> Request:
        self.asked += 1
        request = Request(f"r{self.asked}", kind, node, "ann", reason, self.now, force)
        self.requests.append(request)
        return request

    def vouch(self, node: str, operation: str) -> Request:
        self.asked += 1
        request = Request(
            f"r{self.asked}", RequestKind.VOUCH, node, "ann", "because", self.now, operation=operation,
            epoch=self.epoch,
        )  # fmt: skip
        self.requests.append(request)
        return request

    def paused(self, for_s: float = 600.0) -> None:
        self.pause = Pause("ann", "maintenance", self.now, self.now.wall_s + for_s)

    def restarted(self) -> None:
        """Another controller starts: a new epoch; what was out is not answered to it."""
        self.epoch += 1
        self.outcomes.clear()

    # looking and stepping

    @property
    def now(self) -> Moment:
        return Moment(self.boot_id, self.now_s, WALL_S + self.now_s + self.ahead_s)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            now=self.now,
            policy=self.policy,
            state=self.state,
            versions=Versions(self.epoch, 1, 1),
            standing=self.standing,
            may_act_until_s=self.may_act_until_s,
            observers=tuple(self._view(observer) for observer in self.policy.observers),
            outcomes=tuple(self.outcomes),
            requests=tuple(self.requests),
            pause=self.pause,
            unchanged_s=self.unchanged_s,
        )

    def look(self) -> Decision:
        """Decide; nothing comes of it. No invariant is broken, ever."""
        decision = decide(self.snapshot())
        assert decision.broken == ()
        return decision

    def step(self, advance_s: float = 0.0) -> Decision:
        """Time passes, one decision is made and recorded, its orders are answered."""
        self.now_s += advance_s
        decision = self.look()
        self.state = decision.state
        answered = {answer.request for answer in self.state.answers}
        self.requests = [r for r in self.requests if r.id not in answered]
        self.outcomes = [self._outcome(o, r) for o in decision.send if (r := self._answer(o)) is not None]
        self.sent += decision.send
        self.notices += decision.notices
        return decision

    def settle(self, limit: int = 40) -> Decision:
        """Step without time passing until nothing changes; no livelock."""
        for _ in range(limit):
            before = self.state
            decision = self.step()
            if self.state == before and not self.outcomes:
                return decision
        raise AssertionError(f"the decision did not settle in {limit} steps: {self.state}")

    def run(self, seconds: float, every_s: float = 0.5) -> Decision:
        """Let time pass, settling every so often."""
        until = self.now_s + seconds
        decision = self.settle()
        while self.now_s < until - 1e-9:
            self.now_s += min(every_s, until - self.now_s)
            decision = self.settle()
        return decision

    def _answer(self, order: Order) -> Result | None:
        name = getattr(order.action, "target", None) or getattr(order.action, "node", "")
        kind: str = order.action.kind
        answers = self.answers
        hook = order.action.terms.hook if isinstance(order.action, OrderPorts) else None
        if hook is not None and (f"{hook}:{name}" in self.hooks or hook in self.hooks):
            kind, answers = hook, self.hooks
        return answers.get(f"{kind}:{name}", answers.get(kind, Result.DONE))

    def _outcome(self, order: Order, result: Result) -> Outcome:
        detail = self.details.get(order.action.kind, "" if result is Result.DONE else "as told")
        if not isinstance(order.action, OrderPorts | PowerOff):
            sent = order.action.kind not in self.never_leave
            return Outcome(order.token, result, self.now, detail, sent=sent)
        fence = {Result.DONE: FenceOutcome.CONFIRMED, Result.FAILED: FenceOutcome.FAILED}.get(
            result, FenceOutcome.UNKNOWN
        )
        stopped = Scope.POWER if isinstance(order.action, PowerOff) else self.scope
        scope = stopped if fence is FenceOutcome.CONFIRMED else Scope.NONE
        return Outcome(order.token, result, self.now, detail, fence, scope)

    def _view(self, observer: Observer) -> ObserverView:
        voice = self.voices.get(observer.name, Voice())
        if voice.silent:
            return ObserverView(observer.name, observer.votes, None, voice.age_s)
        found = {name: None if name in voice.lost else facts for name, facts in self.facts.items()}
        nodes = tuple(
            NodeReport(
                node.name,
                tuple(self._service(voice, node.name, service.name) for service in self.policy.services),
                found.get(node.name),
                self.facts_age_s,
                "" if found.get(node.name) else "ssh: no route",
            )
            for node in self.policy.nodes
        )
        since_s, lease = self.kept.get(observer.name, (self.now_s, None))
        report = Report(
            observer.name, 1, voice.digest, nodes, tuple(self.lags.values()), voice.tilted, lease=lease
        )
        return ObserverView(observer.name, observer.votes, report, voice.age_s, self.now_s - since_s)

    def _service(self, voice: Voice, node: str, service: str) -> ServiceReport:
        seen = voice.sees.get((node, service)) or self.seen.get((node, service), Seen())
        if node in voice.lost:
            seen = Seen(Verdict.DOWN, failure=Failure(FailureKind.TIMEOUT, "connect"))
        last = None if seen.verdict is Verdict.UNKNOWN else ProbeResult(seen.failure, (), seen.answered_by)
        return ServiceReport(
            service,
            seen.verdict,
            self._vantage(node, service),
            verdict_age_s=self.now_s - seen.since_s,
            probe_age_s=0.0 if seen.answered_s is None else self.now_s - seen.answered_s,
            symptom_age_s=None if seen.symptom_s is None else self.now_s - seen.symptom_s,
            last=last,
            evidence=str(seen.failure or ""),
        )

    def _vantage(self, node: str, service: str) -> Vantage:
        """Behind ports we know to be closed a probe goes through the helper; `looked_at_behind` are nodes
        whose observers have not noticed yet that they are open."""
        if node in self.looked_at_behind:
            return Vantage.HELPER
        ports = self.state.ports_of(node)
        known = ports is not None and ports.fence is FenceOutcome.CONFIRMED
        closed = known and ports is not None and ports.ports[service].kind is PortKind.CLOSED
        return Vantage.HELPER if closed else Vantage.DIRECT

    # reading what came out

    def phase(self, node: str, endpoint: str = MAIL) -> Phase:
        record = self.state.phase_of(node, endpoint)
        assert record is not None
        return record.phase

    def actions(self) -> list[Action]:
        return [order.action for order in self.sent]

    def why(self, node: str, endpoint: str = MAIL) -> Explanation:
        return next(e for e in self.look().explanations if (e.node, e.endpoint) == (node, endpoint))

    def finding(self, gate: str, node: str, endpoint: str = MAIL) -> Finding:
        return next(f for f in self.why(node, endpoint).findings if f.gate == gate)

    def holding(self, node: str, endpoint: str = MAIL) -> list[str]:
        """The gates that hold what is wanted of a node."""
        return [f.gate for f in self.why(node, endpoint).findings if f.answer is not Answered.YES]

    def put_phase(self, node: str, phase: Phase, cause: Cause = Cause.NONE, endpoint: str = MAIL) -> None:
        """Record a phase by hand, for tables and effects."""
        others = [r for r in self.state.phases if (r.node, r.endpoint) != (node, endpoint)]
        record = PhaseRecord(node, endpoint, phase, self.now, cause)
        self.state = replace(self.state, phases=(*others, record))


def facts(node: str) -> NodeFacts:
    """A helper's status with nothing to report."""
    return NodeFacts(
        hostname=f"{node}.test",
        boot_id="boot",
        token=None,
        ports={},
        applied=True,
        units={"dovecot": UnitState.ACTIVE, "postfix": UnitState.ACTIVE},
        package_manager=False,
        paths={"/var/mail": Space(10 * GIB, 20 * GIB, 10**6, 2 * 10**6)},
        boot="closed",
    )


def kinds(actions: Iterable[Action]) -> list[str]:
    return [action.kind for action in actions]


def phases(scene: Scene) -> dict[str, Phase]:
    return {node: scene.phase(node) for node in scene.policy.node_by_name}


def last_ended(scene: Scene) -> tuple[Kind, Ending]:
    """What ran last, and how it ended."""
    ended = scene.state.ended[-1]
    return ended.operation.kind, ended.ending


def published(scene: Scene) -> list[tuple[str, ...]]:
    """The addresses of each publication that was ordered, in order."""
    return [
        next(rrset.values for rrset in action.rrsets if rrset.type == "A")
        for action in scene.actions()
        if isinstance(action, Publish)
    ]


def opened(scene: Scene) -> list[str]:
    """The nodes that were ordered open, in order."""
    return [
        action.node
        for action in scene.actions()
        if isinstance(action, OrderPorts)
        and any(port.kind is PortKind.OPEN for port in action.ports.values())
    ]


def until_promoting(scene: Scene, node: str, every_s: float = 0.0) -> None:
    """Step until a node is to be opened; what is ordered of it is not recorded before the next step."""
    for _ in range(300):
        scene.step(every_s)
        if scene.phase(node) is Phase.PROMOTING:
            return
    raise AssertionError(f"{node} was never promoting")


__all__ = [
    "GIB", "MAIL", "SERVICES", "START_S", "STORE", "Scene", "Seen", "Voice", "facts", "imap_and_smtp",
    "kinds", "may_follow", "opened", "phases",
    "policy_of", "until_promoting",
]  # fmt: skip
