"""The world of the short simulation: two or three mail nodes, a DNS target, the real loop.

Core, loop and executor are the production ones; only the ports are replaced. Receivers remember tokens
as the real ones do, so a doubled, late or lost order shows in their true state.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.doubles.coordination import MemoryClient, MemoryStore
from tests.simulation.virtual import VirtualClock

from mailward.controller.core.phases import desired_rrsets
from mailward.controller.executor import Executor
from mailward.controller.loop import Loop
from mailward.model.dns import RRset, ServerCheck
from mailward.model.fencing import (
    OPEN,
    PLAIN,
    FenceOutcome,
    FenceResult,
    HelperAnswer,
    HelperReply,
    NodeFacts,
    PortKind,
    PortMap,
    PortState,
    Scope,
    Space,
    Terms,
    UnitState,
)
from mailward.model.health import Failure, FailureKind, ProbeResult, ServiceReport, Vantage, Verdict
from mailward.model.orders import Result
from mailward.model.policy import Automation, Deployment, Endpoint, Node, Observer, Policy, Rules, Service
from mailward.model.ports import Published
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport, Report
from mailward.model.snapshot import ObserverView
from mailward.model.state import State
from mailward.model.token import Sent, Token

T = TypeVar("T")

STORE = "0123456789ab"
ENDPOINT = "mail.example.test"
SERVICES = (
    Service("smtp", 25, "smtp"),
    Service("submission", 587, "submission"),
    Service("imaps", 993, "imaps"),
)
LATENCY_S = 0.01


def policy_of(names: Sequence[str] = ("mail-a", "mail-b"), rules: Rules | None = None) -> Policy:
    nodes = tuple(
        Node(name, f"site-{i}", (f"192.0.2.{10 + i}", f"2001:db8::{10 + i}")) for i, name in enumerate(names)
    )
    return Policy(
        cluster="sim",
        deployment=Deployment.HYBRID,
        automation=Automation.ACT,
        services=SERVICES,
        nodes=nodes,
        endpoints=(Endpoint(ENDPOINT, ("submission", "imaps"), tuple(names), 5, ("primary",)),),
        observers=(Observer("controller", "site-w"),),
        targets=("primary",),
        rules=rules or Rules(stable_s=2.0, hold_down_s=5.0),
        digest="sim",
    )


@dataclass
class Receiver:
    """Anything that remembers the highest token it obeyed. `log` is every token it obeyed."""

    token: Token | None = None
    reachable: bool = True
    swallow_replies: int = 0
    log: list[tuple[float, Token, str]] = field(default_factory=list)
    on_the_way: list["asyncio.Task[Any]"] = field(default_factory=list)

    async def deliver(self, message: Coroutine[Any, Any, T]) -> T:
        """Once sent, a message arrives whether or not its sender still lives."""
        task = asyncio.create_task(message, name="message")
        self.on_the_way = [*(t for t in self.on_the_way if not t.done()), task]
        return await asyncio.shield(task)

    def obey(self, token: Token, what: str) -> str:
        """'' when obeyed, else why not."""
        if self.token is not None and token.store_id != self.token.store_id:
            return "foreign"
        if self.token is not None and token <= self.token:
            return "stale"
        self.token = token
        self.log.append((asyncio.get_running_loop().time(), token, what))
        return ""

    async def answers(self) -> bool:
        """Whether the caller gets to know; a swallowed reply has been obeyed all the same."""
        await asyncio.sleep(LATENCY_S)
        if self.swallow_replies > 0:
            self.swallow_replies -= 1
            await asyncio.sleep(3600)
        return True


class SimPublisher(Receiver):
    """A name server with compare-and-set, and its pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.rrsets: dict[tuple[str, str], RRset] = {}
        self.changes: list[tuple[float, tuple[str, ...]]] = []

    def addresses(self) -> tuple[str, ...]:
        return tuple(sorted(v for rrset in self.rrsets.values() for v in rrset.values))

    async def claim(self, token: Token, _sent: Sent) -> Published:
        return await self.deliver(self._write(token, None))

    async def publish(self, token: Token, rrsets: Sequence[RRset]) -> Published:
        return await self.deliver(self._write(token, rrsets))

    async def _write(self, token: Token, rrsets: Sequence[RRset] | None) -> Published:
        if not self.reachable:
            await asyncio.sleep(3600)
        await asyncio.sleep(LATENCY_S)
        refused = self.obey(token, "claim" if rrsets is None else "publish")
        if refused:
            result = Result.FOREIGN if refused == "foreign" else Result.STALE
            return Published(result, f"it obeys {self.token}")
        for rrset in rrsets or ():
            self.rrsets[rrset.key] = rrset
        if rrsets is not None:
            self.changes.append((asyncio.get_running_loop().time(), self.addresses()))
        await self.answers()
        return Published(Result.DONE)

    async def verify(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        await asyncio.sleep(LATENCY_S)
        agrees = all(self.rrsets.get(r.key) == r for r in rrsets)
        return (ServerCheck("primary", agrees, "" if agrees else "old answer"),)


class SimNode(Receiver):
    """A mail node with its helper. `up` is per service; `alive` is the host itself."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.alive = True
        self.up = {service.name: True for service in SERVICES}
        self.ports: dict[str, PortState] = {service.name: OPEN for service in SERVICES}
        self.units: dict[str, UnitState] = {"dovecot": UnitState.ACTIVE}
        self.free_bytes = 10**9

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult:
        return await self.deliver(self._order(token, ports))

    async def claim(self, token: Token) -> HelperAnswer:
        return await self.deliver(self._claim(token))

    async def _order(self, token: Token, ports: PortMap) -> FenceResult:
        if not (self.alive and self.reachable):
            await asyncio.sleep(3)
            return FenceResult(FenceOutcome.UNKNOWN, detail="no answer")
        await asyncio.sleep(LATENCY_S)
        refused = self.obey(token, "ports")
        if refused:
            return FenceResult(FenceOutcome.FAILED, detail=f"{refused}: it obeys {self.token}")
        self.ports = dict(ports)
        await self.answers()
        return FenceResult(FenceOutcome.CONFIRMED, Scope.USERS)

    async def _claim(self, token: Token) -> HelperAnswer:
        if not (self.alive and self.reachable):
            await asyncio.sleep(3)
            return HelperAnswer(HelperReply.UNKNOWN)
        await asyncio.sleep(LATENCY_S)
        refused = self.obey(token, "claim")
        if refused:
            return HelperAnswer(
                HelperReply.FOREIGN if refused == "foreign" else HelperReply.STALE, self.token
            )
        await self.answers()
        return HelperAnswer(HelperReply.OBEYED, token)

    def open_for_clients(self, service: str) -> bool:
        return self.alive and self.up[service] and self.ports[service].kind is PortKind.OPEN

    def facts(self) -> NodeFacts | None:
        if not (self.alive and self.reachable):
            return None
        space = Space(self.free_bytes, 2 * 10**9, 10**6, 10**6)
        return NodeFacts(
            self.name, "boot", self.token, dict(self.ports), True, dict(self.units), False, {"mail": space}
        )


class SimLag:
    """Replication of one node; `kicked` counts."""

    def __init__(self) -> None:
        self.kicked = 0

    async def measure(self) -> Sequence[Lag]:
        return ()

    async def kick(self) -> str:
        await asyncio.sleep(LATENCY_S)
        self.kicked += 1
        return ""


class World:
    """Everything true, and one controller at a time."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or policy_of()
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.nodes = {node.name: SimNode(node.name) for node in self.policy.nodes}
        self.dns = SimPublisher()
        self.lag_s = 0.0
        self.lag_sources = {name: SimLag() for name in self.nodes}
        self.store = MemoryStore(State(STORE, 0))
        self.client = MemoryClient(self.store)
        self.loop: Loop | None = None
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[tuple[str, str], tuple[Verdict, Vantage, float, float | None]] = {}
        self._watcher = asyncio.create_task(self._watch(), name="observer")

    # the controller

    def start(self) -> None:
        self.client = MemoryClient(self.store)
        self.loop = Loop(
            name="one",
            policy=self.policy,
            coordination=self.client,
            executor_with=lambda report: Executor(
                publishers={"primary": self.dns},
                fences=self.nodes,
                lag_sources=self.lag_sources,
                clock=self.clock,
                may_act_until_s=self.client.may_act_until_s,
                policy=self.policy,
                report=report,
            ),
            views=lambda: (self.view(),),
            clock=self.clock,
        )
        self._task = asyncio.create_task(self.loop.run(), name="controller")

    def kill_now(self) -> None:
        """The controller is gone before its next breath: what it was about to send is never sent."""
        if self._task is not None:
            self._task.cancel()

    async def kill(self) -> None:
        """The controller is gone; what it had sent arrives all the same."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self.client.killed()

    async def close(self) -> None:
        await self.kill()
        receivers: list[Receiver] = [self.dns, *self.nodes.values()]
        tasks = [self._watcher, *(t for receiver in receivers for t in receiver.on_the_way)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def controller_ended(self) -> BaseException | None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return self._task.exception()
        return None

    async def until(self, what: Callable[[], bool], limit_s: float) -> float:
        """Seconds until it is true; AssertionError with the state when it does not come true."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not what():
            if loop.time() - begin > limit_s:
                raise AssertionError(f"not within {limit_s} s; state: {self.store.state}")
            await asyncio.sleep(0.05)
        return loop.time() - begin

    # what is true, and what the observer makes of it

    @property
    def state(self) -> State:
        return self.store.state

    def settled(self) -> bool:
        """Nothing runs, and the world is as recorded."""
        state = self.state
        return state.operation is None and not state.orders and self.dns_is_as_recorded()

    def dns_is_as_recorded(self) -> bool:
        return all(
            (self.dns.rrsets.get(r.key) or RRset(r.name, r.type, r.ttl_s, ())) == r
            for r in desired_rrsets(self.policy, self.state, "primary")
        )

    def view(self) -> ObserverView:
        now = self.clock.now().boot_s
        nodes = []
        for name, node in self.nodes.items():
            reports = []
            for service in SERVICES:
                verdict, vantage, since, symptom = self._seen.get(
                    (name, service.name), (Verdict.UNKNOWN, Vantage.DIRECT, now, None)
                )
                kind = FailureKind.REFUSED if node.alive else FailureKind.TIMEOUT
                answers = self._truth(node, service.name) == (Verdict.UP, vantage)
                failure = Failure(kind, "connect") if verdict is Verdict.DOWN and not answers else None
                reports.append(
                    ServiceReport(
                        service.name, verdict, vantage, now - since, 0.05,
                        now - symptom if symptom is not None else None, ProbeResult(failure),
                        str(failure or "dialogue complete"),
                    )
                )  # fmt: skip
            nodes.append(NodeReport(name, tuple(reports), node.facts(), 0.1))
        names = list(self.nodes)
        lags = tuple(Lag(a, b, Confidence.KNOWN, self.lag_s, 0, 0) for a in names for b in names if a != b)
        return ObserverView("controller", 1, Report("controller", 1, "sim", tuple(nodes), lags), 0.0)

    async def _watch(self) -> None:
        """Detection: a change of truth becomes a verdict 0.2 s later, its symptom at once."""
        pending: dict[tuple[str, str], tuple[Verdict, Vantage, float]] = {}
        while True:
            now = asyncio.get_running_loop().time()
            for name, node in self.nodes.items():
                for service in SERVICES:
                    key = (name, service.name)
                    truth = self._truth(node, service.name)
                    last = self._seen.get(key)
                    if last and (last[0], last[1]) == truth:
                        pending.pop(key, None)
                        continue
                    if key not in pending or pending[key][:2] != truth:
                        pending[key] = (*truth, now)
                    if now - pending[key][2] >= 0.2 - 1e-9:
                        symptom = pending[key][2] if truth[0] is Verdict.DOWN else None
                        self._seen[key] = (*truth, now, symptom)
                        if self.loop is not None:
                            self.loop.wake()
            await asyncio.sleep(0.05)

    def _truth(self, node: SimNode, service: str) -> tuple[Verdict, Vantage]:
        ports = self.state.ports_of(node.name)
        closed = (
            ports is not None
            and ports.fence is FenceOutcome.CONFIRMED
            and ports.ports[service].kind is PortKind.CLOSED
        )
        if closed:
            return (Verdict.UP if node.alive and node.up[service] else Verdict.DOWN), Vantage.HELPER
        return (Verdict.UP if node.open_for_clients(service) else Verdict.DOWN), Vantage.DIRECT
