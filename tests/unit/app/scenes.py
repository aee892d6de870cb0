"""Situations a reader may meet, as `View`s: snapshots built by hand, and what the core decides on them."""

from dataclasses import dataclass, field, replace

from mailward.app.live import Counters, View
from mailward.controller.core.decide import decide
from mailward.model.clock import Moment
from mailward.model.decision import Decision, Explanation
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, NodeFacts, Scope, Space, UnitState
from mailward.model.health import (
    Certificate,
    Failure,
    FailureKind,
    ProbeResult,
    ServiceReport,
    StageTime,
    Vantage,
    Verdict,
)
from mailward.model.orders import Result
from mailward.model.policy import (
    Automation,
    Deployment,
    Endpoint,
    Node,
    Observer,
    Policy,
    Rules,
    Service,
)
from mailward.model.ports import Commit
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport, Report
from mailward.model.snapshot import ObserverView, Snapshot, Standing, Versions
from mailward.model.state import (
    Answer,
    Attempt,
    Cause,
    Ended,
    Ending,
    Episode,
    HelperRecord,
    Kind,
    Operation,
    Pause,
    Phase,
    PhaseRecord,
    PortsRecord,
    Request,
    State,
    Step,
    TargetRecord,
)
from mailward.model.token import NOTHING_SENT, Token

STORE = "3f2a9c01d4e7b65f"
NOW_WALL = 1_767_236_640.0  # 2026-01-01 03:04:00 UTC
BOOT = "b7c1"
SERVICES = ("smtp", "submission", "imaps")
ENDPOINT = "mail.example.org"


def at(ago_s: float) -> Moment:
    return Moment(BOOT, 500_000.0 - ago_s, NOW_WALL - ago_s)


NOW = at(0)


def token(seq: int) -> Token:
    return Token(STORE, 7, seq)


def policy(automation: Automation = Automation.ACT) -> Policy:
    return Policy(
        cluster="example",
        deployment=Deployment.HYBRID,
        automation=automation,
        services=(
            Service("smtp", 25, "smtp"),
            Service("submission", 587, "submission"),
            Service("imaps", 993, "imaps"),
        ),
        nodes=(
            Node("mail-a", "berlin", ("192.0.2.10", "2001:db8:a::10")),
            Node("mail-b", "vienna", ("198.51.100.20",)),
        ),
        endpoints=(Endpoint(ENDPOINT, SERVICES, ("mail-a", "mail-b"), 30, ("ns1",)),),
        observers=(Observer("watch", "graz"),),
        targets=("ns1",),
        rules=Rules(),
        digest="c0ffee",
    )


def up(service: str, took_s: float, vantage: Vantage = Vantage.DIRECT, days: float = 71.4) -> ServiceReport:
    stages = (
        StageTime("connect", took_s / 4),
        StageTime("greeting", took_s / 4),
        StageTime("login", took_s / 2),
    )
    certificate = None if service == "smtp" else Certificate((ENDPOINT,), days, "Test CA")
    return ServiceReport(
        service,
        Verdict.UP,
        vantage,
        verdict_age_s=260_000.0,
        probe_age_s=0.7,
        last=ProbeResult(None, stages, "mail-a.example.org", certificate),
        evidence="2 of 2 probes passed",
    )


def down(service: str, kind: FailureKind, for_s: float, detail: str = "") -> ServiceReport:
    failure = Failure(kind, "connect", detail)
    return ServiceReport(
        service,
        Verdict.DOWN,
        Vantage.DIRECT,
        verdict_age_s=for_s,
        probe_age_s=0.4,
        symptom_age_s=for_s + 0.3,
        last=ProbeResult(failure),
        evidence=str(failure),
    )


def all_up(vantage: Vantage = Vantage.DIRECT) -> tuple[ServiceReport, ...]:
    return (up("smtp", 0.012, vantage), up("submission", 0.030, vantage), up("imaps", 0.024, vantage))


def facts(closed: bool = False, **changes: object) -> NodeFacts:
    ports = dict.fromkeys(SERVICES, CLOSED if closed else OPEN)
    known = NodeFacts(
        hostname="mail-a",
        boot_id="9d",
        token=token(3),
        ports=ports,
        applied=True,
        units={"dovecot.service": UnitState.ACTIVE, "postfix.service": UnitState.ACTIVE},
        package_manager=False,
        paths={"/var/vmail": Space(40 * 2**30, 100 * 2**30, 9_000_000, 10_000_000)},
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def lag(source: str, target: str, seconds: float, mailboxes: int = 0) -> Lag:
    return Lag(source, target, Confidence.KNOWN, seconds, mailboxes, 0, 2.0, "dovecot-replicator")


def rrsets(*nodes: str) -> tuple[RRset, ...]:
    chosen = [node for node in policy().nodes if node.name in nodes]
    addresses = [address for node in chosen for address in node.addresses]
    kinds = {"A": [a for a in addresses if ":" not in a], "AAAA": [a for a in addresses if ":" in a]}
    return tuple(RRset(f"{ENDPOINT}.", kind, 30, tuple(sorted(values))) for kind, values in kinds.items())


def ended(
    kind: Kind,
    node: str,
    ago_s: float,
    took_s: float,
    reason: str,
    ending: Ending = Ending.DONE,
    detail: str = "",
    request: str | None = None,
) -> Ended:
    operation = Operation(
        id=f"7.{int(ago_s)}",
        kind=kind,
        node=node,
        endpoints=(ENDPOINT,),
        step=Step.VERIFY,
        started=at(ago_s + took_s),
        step_since=at(ago_s + took_s / 2),
        cause=Cause.SERVICE,
        reason=reason,
        row=110,
        request=request,
    )
    return Ended(operation, ending, at(ago_s), detail)


def operation(kind: Kind, node: str, step: Step, since_s: float, reason: str, **more: object) -> Operation:
    known = Operation(
        id="7.9",
        kind=kind,
        node=node,
        endpoints=(ENDPOINT,),
        step=step,
        started=at(since_s + 4),
        step_since=at(since_s),
        cause=Cause.SERVICE,
        reason=reason,
        row=320,
    )
    return replace(known, **more)  # type: ignore[arg-type]


HISTORY = (
    ended(Kind.READMIT, "mail-b", 259_200, 21.4, "well again for 10 s"),
    ended(Kind.FAILOVER, "mail-b", 259_500, 4.2, "smtp DOWN: refused at connect"),
)


@dataclass(frozen=True)
class Scene:
    """A situation; every field has its value of a healthy pair."""

    policy: Policy = field(default_factory=policy)
    mail_a: tuple[ServiceReport, ...] = field(default_factory=all_up)
    mail_b: tuple[ServiceReport, ...] = field(default_factory=all_up)
    facts_a: NodeFacts | None = field(default_factory=facts)
    facts_b: NodeFacts | None = field(default_factory=facts)
    facts_age_a_s: float = 1.4
    error_a: str = ""
    error_b: str = ""
    lags: tuple[Lag, ...] = (lag("mail-a", "mail-b", 0), lag("mail-b", "mail-a", 0))
    phase_a: PhaseRecord = field(
        default_factory=lambda: PhaseRecord("mail-a", ENDPOINT, Phase.IN_SERVICE, at(864_000))
    )
    ports_a: PortsRecord | None = None
    target: TargetRecord = field(
        default_factory=lambda: TargetRecord(
            "ns1", None, token(1), NOTHING_SENT, rrsets("mail-a", "mail-b"), token(3), at=at(259_190)
        )
    )
    ended: tuple[Ended, ...] = HISTORY
    operation: Operation | None = None
    episodes: tuple[Episode, ...] = ()
    tallies: dict[str, int] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    requests: tuple[Request, ...] = ()
    said: tuple[Explanation, ...] | None = None
    pause: Pause | None = None
    superseded: str = ""
    recorded: bool = True
    standing: Standing = Standing.LEADING
    report_age_s: float = 0.5
    notices: tuple[str, ...] = ()
    fatal: str = ""
    not_ready: str = ""

    def state(self) -> State:
        ports_b = PortsRecord(
            "mail-b", token(3), dict.fromkeys(SERVICES, OPEN), FenceOutcome.CONFIRMED, Scope.NONE, at(259_200)
        )
        return State(
            store_id=STORE,
            epoch=7,
            seq=9,
            epoch_since=None if self.recorded else at(3),
            superseded=self.superseded,
            phases=(self.phase_a, PhaseRecord("mail-b", ENDPOINT, Phase.IN_SERVICE, at(259_200)))
            if self.recorded
            else (),
            operation=self.operation,
            targets=(self.target,),
            helpers=(HelperRecord("mail-a", None, token(2)), HelperRecord("mail-b", None, token(2))),
            ports=tuple(each for each in (self.ports_a, ports_b) if each and self.recorded),
            ended=self.ended,
            answers=self.answers,
            episodes=self.episodes,
            tallies=self.tallies,
        )

    def snapshot(self) -> Snapshot:
        report = Report(
            "watch",
            41,
            self.policy.digest,
            (
                NodeReport("mail-a", self.mail_a, self.facts_a, self.facts_age_a_s, self.error_a),
                NodeReport("mail-b", self.mail_b, self.facts_b, 1.2, self.error_b),
            ),
            self.lags,
        )
        return Snapshot(
            now=NOW,
            policy=self.policy,
            state=self.state(),
            versions=Versions(7, 12, 1),
            standing=self.standing,
            may_act_until_s=float("inf"),
            observers=(ObserverView("watch", 1, report, self.report_age_s),),
            requests=self.requests,
            pause=self.pause,
        )

    def decision(self) -> Decision:
        decided = decide(self.snapshot())
        return replace(
            decided,
            explanations=decided.explanations if self.said is None else self.said,
            notices=decided.notices + self.notices,
            fatal=decided.fatal or self.fatal,
        )

    def view(self) -> View:
        counters = Counters(1234, 0.0021, {Commit.COMMITTED: 17, Commit.UNKNOWN: 1}, 1, 29)
        return View("watch", at(950_400), NOW, self.snapshot(), self.decision(), self.not_ready, counters)


REFUSED = down("imaps", FailureKind.REFUSED, 185.0)
OUT_A = PhaseRecord("mail-a", ENDPOINT, Phase.OUT, at(184), Cause.SERVICE, "imaps DOWN: refused at connect")
CLOSED_A = PortsRecord(
    "mail-a",
    token(5),
    dict.fromkeys(SERVICES, CLOSED),
    FenceOutcome.CONFIRMED,
    Scope.USERS,
    at(181),
    "acknowledged, and refused from outside",
)
ONLY_B = TargetRecord("ns1", None, token(1), NOTHING_SENT, rrsets("mail-b"), token(4), at=at(184))


def healthy() -> Scene:
    return Scene()


def starting() -> View:
    return View("watch", at(0.2), NOW)


def withdrawn() -> Scene:
    """imaps crashed on mail-a three minutes ago; mailward has withdrawn it."""
    return Scene(
        mail_a=(up("smtp", 0.012, Vantage.HELPER), up("submission", 0.03, Vantage.HELPER), REFUSED),
        facts_a=facts(closed=True, token=token(5), units={"dovecot.service": UnitState.FAILED}),
        lags=(
            Lag("mail-a", "mail-b", Confidence.UNKNOWN, measured_by="dovecot-replicator", detail="no answer"),
            lag("mail-b", "mail-a", 183, 12),
        ),
        phase_a=OUT_A,
        ports_a=CLOSED_A,
        target=ONLY_B,
        ended=(
            ended(Kind.FAILOVER, "mail-a", 180, 5.1, "imaps DOWN: refused at connect"),
            *HISTORY,
        ),
    )


def held() -> Scene:
    """mail-a fails; mail-b is behind: nobody to fail over to."""
    return Scene(
        mail_a=(up("smtp", 0.012), up("submission", 0.03), REFUSED),
        facts_a=facts(units={"dovecot.service": UnitState.FAILED}),
        lags=(lag("mail-a", "mail-b", 412, 31), lag("mail-b", "mail-a", 3, 1)),
    )


def both_down() -> Scene:
    """Nothing answers anywhere: the observer suspects itself."""
    lost = tuple(down(service, FailureKind.TIMEOUT, 44.0, "no answer in 3 s") for service in SERVICES)
    return Scene(
        mail_a=lost,
        mail_b=lost,
        facts_a=None,
        facts_b=None,
        error_a="ssh: no answer in 5 s",
        error_b="ssh: no answer in 5 s",
        lags=(),
    )


def paused() -> Scene:
    """An administrator works on mail-a, and has paused automation before."""
    until = NOW_WALL + 5400
    return replace(
        held(),
        lags=Scene().lags,
        pause=Pause("anna@watch", "moving mail-a to the new storage", at(1800), until),
    )


def observing() -> Scene:
    """A new install which only looks on, and has seen four failures."""
    return replace(
        held(),
        policy=policy(Automation.OBSERVE),
        lags=Scene().lags,
        ended=(),
        episodes=(
            Episode("mail-a", ENDPOINT, at(185.3), f"failover of mail-a for {ENDPOINT} (row 110)"),
            Episode(
                "mail-b",
                ENDPOINT,
                at(86_400),
                f"failover of mail-b for {ENDPOINT} (row 110)",
                "upgrade",
                "upgrade",
                8.4,
            ),
            Episode("mail-b", ENDPOINT, at(172_800), "", "restart", "restart", 2.1),
            Episode(
                "mail-a",
                ENDPOINT,
                at(260_000),
                f"failover of mail-a for {ENDPOINT} (row 110)",
                "",
                "outage",
                312.0,
            ),
        ),
        tallies={
            "ended-as-outage": 1,
            "ended-as-restart": 1,
            "ended-as-upgrade": 1,
            "would-have-failed-over": 3,
        },
    )


def rejoining() -> Scene:
    """mail-a is well again and catches up behind closed ports."""
    catching = operation(
        Kind.READMIT,
        "mail-a",
        Step.CATCH_UP,
        22,
        "well again for 10 s",
        attempts=(Attempt("kick-replication:mail-a", 2, at(3), Result.DONE),),
    )
    return replace(
        withdrawn(),
        mail_a=all_up(Vantage.HELPER),
        facts_a=facts(closed=True, token=token(5)),
        lags=(lag("mail-a", "mail-b", 0), lag("mail-b", "mail-a", 95, 7)),
        phase_a=PhaseRecord("mail-a", ENDPOINT, Phase.REJOINING, at(22), Cause.SERVICE, "catching up"),
        operation=catching,
    )


def drained() -> Scene:
    """mail-a was drained by hand for planned work."""
    return replace(
        withdrawn(),
        mail_a=all_up(Vantage.HELPER),
        facts_a=facts(closed=True, token=token(5)),
        lags=Scene().lags,
        phase_a=PhaseRecord(
            "mail-a", ENDPOINT, Phase.OUT, at(1260), Cause.OPERATOR, "drained by anna@watch: new disks"
        ),
        ended=(ended(Kind.DRAIN, "mail-a", 1260, 34.0, "asked by anna@watch: new disks"), *HISTORY),
        
    )  # fmt: skip


def handed_over() -> Scene:
    """A readmission could not be finished: mail-a's helper refuses, and a person must look."""
    return replace(
        withdrawn(),
        mail_a=all_up(Vantage.HELPER),
        facts_a=facts(closed=True, token=token(5), applied=False),
        facts_age_a_s=95,
        error_a="mailward-node refused: firewall: nft: permission denied",
        lags=Scene().lags,
        target=replace(
            ONLY_B, detail="REFUSED: not authorised; allow the key in update-policy of example.org"
        ),
        ended=(
            ended(
                Kind.READMIT,
                "mail-a",
                31,
                61.0,
                "well again for 10 s",
                Ending.HANDED_OVER,
                "open: mailward-node refused: firewall: nft: permission denied; run: mailward readmit mail-a",
            ),
            *withdrawn().ended,
        ),
    )


def old_copy() -> Scene:
    """A store restored from the days when mail-a was drained. Now mail-a serves, and mail-b has failed."""
    return replace(
        drained(),
        mail_a=all_up(),
        mail_b=(up("smtp", 0.012), up("submission", 0.03), REFUSED),
        superseded=f"mailward-node on mail-a remembers {token(90)}, which this store never sent: another "
        "controller leads this cluster, or this store was restored from a backup. Nothing is done any more. "
        "If no other controller runs, move the store away and make it anew: "
        f"mailward state init --adopt {STORE}",
    )


def just_made() -> Scene:
    """The store was made three seconds ago, and the helper of mail-b has not yet said what it holds."""
    return Scene(
        recorded=False,
        facts_b=None,
        error_b="ssh: no answer in 5 s",
        target=TargetRecord("ns1"),
        ended=(),
    )


SCENES = {
    "healthy": healthy,
    "withdrawn": withdrawn,
    "held": held,
    "both_down": both_down,
    "paused": paused,
    "observing": observing,
    "rejoining": rejoining,
    "drained": drained,
    "handed_over": handed_over,
    "old_copy": old_copy,
    "just_made": just_made,
}
