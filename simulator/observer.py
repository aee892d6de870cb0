"""What one daemon sees of the world: probes as they would end, judged by the production detector.

Dialogues are not spoken, only their outcome is modelled, since a run has millions of them; rhythm,
thresholds, tilt and reports are the real ones. A held connection shows a crash within a look; trouble makes
the observer ask the helper at once.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mailward.health.detector import Detection, Thresholds
from mailward.health.tilt import Tilt
from mailward.model.clock import Moment
from mailward.model.errors import StoreError
from mailward.model.fencing import NodeFacts
from mailward.model.health import (
    Failure,
    FailureKind,
    ProbeResult,
    ServiceReport,
    StageTime,
    Vantage,
    Verdict,
)
from mailward.model.replication import Confidence, Lag
from mailward.model.report import LeaseReport, NodeReport, Report
from mailward.simulator import virtual
from mailward.simulator.network import HostClock, Network
from mailward.simulator.nodes import MailNode, Work
from mailward.simulator.peers import Peers
from mailward.simulator.ways import HelperClient, LagClient

LOOK_S = 0.5
PROBE_S = 3.0
CONFIRM_S = 0.5
HEARTBEAT_S = 2.0
FACTS_S = 4.0
LAG_S, LAG_HURRIED_S = 5.0, 1.0
STALL_S, TILT_S = 1.0, 5.0

_PASSED = ProbeResult(None, (StageTime("select", 0.02),))


@dataclass
class _Watched:
    """One service: what is made of its probes, and when the next one is due."""

    detection: Detection
    vantage: Vantage = Vantage.DIRECT
    due_s: float = 0.0


@dataclass
class _Facts:
    facts: NodeFacts | None = None
    taken_s: float = 0.0
    error: str = "no answer yet"
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class SimObserver:
    """`vantage` says which way a service is looked at; `publish` takes the reports; `on_end` is called when a
    report has told of another daemon's end; `lease` is what is done for that of the node beside it."""

    name: str
    digest: str
    network: Network
    host: str
    nodes: Mapping[str, MailNode]
    clock: HostClock
    vantage: Callable[[str, str], Vantage]
    helpers: Mapping[str, HelperClient]
    lags: Mapping[str, LagClient]
    publish: Callable[[Report], Awaitable[None]]
    rng: random.Random
    peers: Peers
    on_end: Callable[[], None]
    thresholds: Thresholds = field(default_factory=Thresholds)
    lease: Callable[[], LeaseReport | None] = lambda: None

    def __post_init__(self) -> None:
        self._watched: dict[str, dict[str, _Watched]] = {}
        self._facts = {name: _Facts() for name in self.nodes}
        self._lags: dict[str, tuple[float, Sequence[Lag]]] = {}
        self._lag_rests: dict[str, asyncio.Future[None]] = {}
        self._hurries = False
        self._tilt = Tilt(STALL_S, TILT_S)
        self._seq = 0
        self._changed = True
        self._said: object = None
        self._told_gone: tuple[str, ...] = ()
        self._said_s = float("-inf")
        self._restart()

    async def run(self) -> None:
        """Look, and report on change and as a heartbeat. Slow answers are waited for beside it."""
        asking = [asyncio.create_task(self._ask_facts(name), name=f"facts {name}") for name in self.nodes]
        asking += [asyncio.create_task(self._ask_lag(name), name=f"lag {name}") for name in self.lags]
        loop = asyncio.get_running_loop()
        try:
            while True:
                now = self.clock.now()
                if self._tilt.tick(loop.time(), now, LOOK_S):
                    self._restart()
                    self._changed = True
                self._look_at_all(now.boot_s)
                self._changed |= self.peers.look()
                if self._changed or now.boot_s - self._said_s >= HEARTBEAT_S:
                    await self._tell(now)
                await virtual.sleep(LOOK_S)
        finally:
            for task in asking:
                task.cancel()

    def hurry_lags(self, wanted: bool) -> None:
        """Whether somebody waits for the figures of replication."""
        if wanted and not self._hurries:
            for rest in self._lag_rests.values():
                if not rest.done():
                    rest.set_result(None)
        self._hurries = wanted

    def tilted(self) -> bool:
        return self._tilt.tilted(self.clock.now())

    def report(self, now: Moment) -> Report:
        self._seq += 1
        return Report(
            observer=self.name,
            seq=self._seq,
            config_digest=self.digest,
            nodes=tuple(self._node_report(name, now) for name in self.nodes),
            lags=tuple(lag for name in self.lags for lag in self._lags_of(name, now.boot_s)),
            tilted=self._tilt.tilted(now),
            gone=self.peers.gone,
            lease=self.lease(),
        )

    def _restart(self) -> None:
        now_s = self.clock.boot_s()
        for name, node in self.nodes.items():
            self._watched[name] = {s: _Watched(Detection(now_s, self.thresholds)) for s in node.services}

    def _look_at_all(self, now_s: float) -> None:
        for name, node in self.nodes.items():
            reached = self.network.passes(self.host, name)
            for service, watched in self._watched[name].items():
                self._look_at(node, service, watched, reached, now_s)

    def _look_at(self, node: MailNode, service: str, watched: _Watched, reached: bool, now_s: float) -> None:
        vantage = self.vantage(node.name, service)
        if vantage is not watched.vantage:
            watched.vantage, watched.due_s = vantage, now_s
            watched.detection = Detection(now_s, self.thresholds)
        before = watched.detection.verdict
        held = before is Verdict.UP and vantage is Vantage.DIRECT
        if not held and now_s < watched.due_s:
            return
        result = _probe(node, service, vantage, reached)
        if held and result.failure is not None and not watched.detection.in_doubt:
            watched.detection, watched.due_s = watched.detection.suspected(now_s), now_s
            self._facts[node.name].wake.set()
        if now_s < watched.due_s:
            return
        watched.detection, self._changed = watched.detection.fed(result, now_s), True
        if watched.detection.verdict is not before:
            self._facts[node.name].wake.set()
        pace_s = CONFIRM_S if watched.detection.in_doubt else PROBE_S
        watched.due_s = now_s + pace_s * self.rng.uniform(0.9, 1.1)

    async def _tell(self, now: Moment) -> None:
        heartbeat = now.boot_s - self._said_s >= HEARTBEAT_S
        self._changed = False
        seen = [
            (watched.detection.verdict, watched.vantage)
            for services in self._watched.values()
            for watched in services.values()
        ]
        facts = [(f.error, f.facts and (f.facts.token, f.facts.units)) for f in self._facts.values()]
        gone = self.peers.gone
        lags = dict(self._lags) if self._hurries else {}
        said = (seen, facts, gone, lags)
        if said == self._said and not heartbeat:
            return
        self._said, self._said_s = said, now.boot_s
        try:
            await self.publish(self.report(now))
        except StoreError:
            return
        if gone != self._told_gone:
            self._told_gone = gone
            self.on_end()

    def _node_report(self, name: str, now: Moment) -> NodeReport:
        services = tuple(
            self._service_report(service, watched, now.boot_s)
            for service, watched in self._watched[name].items()
        )
        facts = self._facts[name]
        age_s = max(0.0, now.boot_s - facts.taken_s)
        return NodeReport(name, services, facts.facts, age_s, facts.error)

    def _service_report(self, service: str, watched: _Watched, now_s: float) -> ServiceReport:
        seen = watched.detection.judged(now_s)
        return ServiceReport(
            service=service,
            verdict=seen.verdict,
            vantage=watched.vantage,
            verdict_age_s=max(0.0, now_s - seen.since_s),
            probe_age_s=max(0.0, now_s - seen.probed_s),
            symptom_age_s=None if seen.symptom_s is None else max(0.0, now_s - seen.symptom_s),
            last=watched.detection.last,
            evidence=seen.evidence,
        )

    async def _ask_facts(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked_s = self.clock.boot_s()
            facts = self._facts[name]
            facts.wake.clear()
            answer = await self.helpers[name].status()
            if isinstance(answer, str):
                facts.error = answer
            else:
                facts.facts, facts.taken_s, facts.error = answer, asked_s, ""
            self._changed = True
            patience = loop.call_later(FACTS_S, facts.wake.set)
            await facts.wake.wait()
            patience.cancel()

    async def _ask_lag(self, name: str) -> None:
        while True:
            asked_s = self.clock.boot_s()
            measured = await self.lags[name].measure()
            if all(lag.confidence is Confidence.KNOWN for lag in measured):
                self._lags[name] = (asked_s, measured)
                self._changed |= self._hurries
            rest = self._lag_rests[name] = virtual.sleep(LAG_HURRIED_S if self._hurries else LAG_S)
            await rest

    def _lags_of(self, name: str, now_s: float) -> list[Lag]:
        """The last known figures with their age: the reader calls old ones stale."""
        if name not in self._lags:
            return []
        taken_s, lags = self._lags[name]
        age_s = max(0.0, now_s - taken_s)
        return [
            Lag(g.source, g.target, g.confidence, g.seconds, g.mailboxes, g.failed_mailboxes, g.age_s + age_s)
            for g in lags
        ]


def _probe(node: MailNode, service: str, vantage: Vantage, reached: bool) -> ProbeResult:
    """How a dialogue begun now would end; `reached` is whether packets pass at all."""
    if vantage is Vantage.HELPER:
        if not reached or not node.helper.works:
            return ProbeResult(Failure(FailureKind.LOCAL, "connect", "the helper does not answer"))
    elif not reached:
        return ProbeResult(Failure(FailureKind.TIMEOUT, "connect"))
    elif not node.helper.opens(service):
        return ProbeResult(Failure(FailureKind.REFUSED, "connect"))
    work = node.work_of(service)
    if work is Work.CRASHED:
        return ProbeResult(Failure(FailureKind.REFUSED, "connect"))
    if work is Work.HUNG:
        return ProbeResult(Failure(FailureKind.TIMEOUT, "greeting"))
    return _PASSED
