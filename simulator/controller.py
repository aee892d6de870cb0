"""One controller in the world: the production loop, executor, publisher and ladder on simulated ports."""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailward.controller.executor import Executor
from mailward.controller.lease import LeaseKeeper
from mailward.controller.loop import Loop
from mailward.controller.promises import Promises, acts
from mailward.controller.vantage import Vantages
from mailward.dns.publication import TargetPublisher
from mailward.fencing.rung import HelperRung
from mailward.fencing.verification import Look, Seen, Sight
from mailward.model.decision import Decision
from mailward.model.errors import MailwardError, StoreError
from mailward.model.policy import Node, Policy, RungKind
from mailward.model.snapshot import Snapshot
from mailward.simulator.names import Zone, ZoneClient
from mailward.simulator.network import Host, HostClock, Network
from mailward.simulator.nodes import MailNode, Replication
from mailward.simulator.observer import SimObserver
from mailward.simulator.peers import Peers, Running
from mailward.simulator.power import Board, Switch
from mailward.simulator.store import Ensemble, Session
from mailward.simulator.virtual import Process
from mailward.simulator.ways import AskedClient, HelperClient, LagClient, Ports


@dataclass(frozen=True)
class Surroundings:
    """What every controller of a world shares: the true things and the ways to them. `daemons` has the newest
    process of each."""

    network: Network
    nodes: Mapping[str, MailNode]
    replication: Replication
    zones: Mapping[str, Zone]
    ensemble: Ensemble
    ensemble_host: str
    rng: random.Random
    boards: Mapping[str, Board]
    daemons: dict[str, Running] = field(default_factory=dict)


class Controller:
    """One daemon, an observer of `policy`. `start` after `stop` or `kill` is another process of it."""

    def __init__(self, name: str, host: Host, policy: Policy, around: Surroundings) -> None:
        self.name = name
        self.host = host
        self.policy = policy
        self._around = around
        self.process: Process | None = None
        self.loop: Loop | None = None
        self.ended: MailwardError | None = None
        self.decisions = 0
        self._starts = 0
        self._buried: list[Process] = []
        self._observer_rng = random.Random(around.rng.random())

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.alive

    def start(self) -> None:
        """A new process; it knows nothing but its configuration."""
        assert not self.runs
        self.ended = None
        self._starts += 1
        nonce = f"{self.name}-{self._starts}"
        process = self.process = Process(self.name)
        clock = HostClock(self.host, asyncio.get_running_loop())
        around = self._around
        around.daemons[self.name] = Running(self.host.name, nonce, process, lambda: promises)
        peers = Peers(self.name, self.host.name, around.network, around.daemons)
        session = Session(
            self.name, around.ensemble, around.network, self.host.name, around.ensemble_host, clock,
            self.policy.observers, nonce,
        )  # fmt: skip
        promises = Promises(
            name=self.name, policy=self.policy, clock=clock, may_act=lambda: self._acts(session),
            ask=peers.ask,
        )  # fmt: skip
        vantages = Vantages()
        helpers = {n: HelperClient(around.network, self.host.name, node) for n, node in around.nodes.items()}
        lags = {
            n: LagClient(around.network, self.host.name, node, around.replication)
            for n, node in around.nodes.items()
        }
        observer = SimObserver(
            self.name, self.policy.digest, around.network, self.host.name, around.nodes, clock,
            vantages.of, helpers, lags, session.publish, self._observer_rng, peers, self._wake,
            lease=lambda: keeper.report() if keeper is not None else None,
        )  # fmt: skip

        keeper = self._keeper(helpers.get(self.name), clock, observer, session, promises)

        def decided(_snapshot: Snapshot, decision: Decision) -> None:
            self.decisions += 1
            vantages.update(decision.state)
            observer.hurry_lags(vantages.mail_is_waited_for)

        self.loop = Loop(
            name=self.name,
            policy=self.policy,
            coordination=session,
            executor_with=lambda report: Executor(
                publishers=self._publishers(),
                fences=self._fences(helpers),
                lag_sources=lags,
                switches=self._switches(),
                asked=self._asked(helpers),
                clock=clock,
                may_act_until_s=session.may_act_until_s,
                policy=self.policy,
                report=report,
            ),
            views=session.views,
            clock=clock,
            tilted=observer.tilted,
            bound=promises.binds,
            on_decision=decided,
        )
        process.run(session.run(), "session")
        process.run(observer.run(), "observer")
        process.run(self._lead(self.loop, session), "loop")
        if keeper is not None:
            process.run(keeper.run(), "lease")

    def _keeper(
        self, helper: HelperClient | None, clock: HostClock, observer: SimObserver, session: Session,
        promises: Promises,
    ) -> LeaseKeeper | None:  # fmt: skip
        """For the lease of the node beside it, where there are leases; `helper` is that node's."""
        if helper is None or self.policy.rules.lease_s is None:
            return None

        async def publish() -> None:
            await session.publish(observer.report(clock.now()))

        return LeaseKeeper(
            node=self.name, policy=self.policy, helper=helper, clock=clock, publish=publish,
            read=session.recorded, promised=promises.all_given,
        )  # fmt: skip

    def kill(self) -> None:
        if self.process is not None and self.process.alive:
            self.process.kill()
            self._buried.append(self.process)

    def bury(self) -> None:
        """At the end of a run."""
        for process in [*self._buried, *([self.process] if self.process else [])]:
            process.bury()

    def _acts(self, session: Session) -> str:
        return acts(leads=self.loop is not None and self.loop.leads, in_touch=session.in_touch)

    def _wake(self) -> None:
        """As a watch on the reports does: somebody's end is looked at when it is reported."""
        if self.loop is not None:
            self.loop.wake()

    async def _lead(self, loop: Loop, session: Session) -> None:
        """What ends the loop ends the process, and with it the lead; a person starts it again."""
        try:
            await loop.run()
        except MailwardError as error:
            self.ended = error
            with contextlib.suppress(StoreError):
                await session.leave()
            self.kill()

    def _publishers(self) -> dict[str, TargetPublisher]:
        found = {}
        for name, zone in self._around.zones.items():
            client = ZoneClient(
                self._around.network, self.host.name, zone, name, self._around.ensemble.state.store_id
            )
            endpoints = [e.name for e in self.policy.endpoints if name in e.targets]
            found[name] = TargetPublisher(
                client,
                keys=[(endpoint, kind) for endpoint in endpoints for kind in ("A", "AAAA")],
                endpoints=endpoints,
                verification=client,
            )
        return found

    def _fences(self, helpers: Mapping[str, HelperClient]) -> dict[str, HelperRung]:
        return {node.name: self._fence(node, helpers[node.name]) for node in self.policy.nodes}

    def _asked(self, helpers: Mapping[str, HelperClient]) -> dict[str, HelperRung]:
        """Through the ensemble and the daemon beside the node; who is beside it itself asks nobody."""
        return {
            node.name: self._fence(
                node, helpers[node.name] if node.name == self.host.name else self._asked_client(node.name)
            )
            for node in self.policy.nodes
            if any(rung.kind is RungKind.ASK for rung in node.ladder)
        }

    def _asked_client(self, node: str) -> AskedClient:
        around = self._around
        return AskedClient(
            around.network, self.host.name, around.nodes[node], around.ensemble_host,
            has_quorum=lambda: around.ensemble.has_quorum, beside=lambda: _answers(around.daemons, node),
        )  # fmt: skip

    def _fence(self, node: Node, helper: HelperClient) -> HelperRung:
        numbers = {service.name: service.port for service in self.policy.services}
        return HelperRung(
            helper, numbers, node.addresses[:1],
            timeout_s=self.policy.rules.order_timeout_s, look=self._look(node.name, numbers),
        )  # fmt: skip

    def _switches(self) -> dict[str, Switch]:
        nodes = self.policy.node_by_name
        return {
            name: Switch(
                self._around.network, self.host.name, board,
                next(rung.timeout_s for rung in nodes[name].ladder if rung.kind is RungKind.AGENT),
            )
            for name, board in self._around.boards.items()
            if name in nodes
        }  # fmt: skip

    def _look(self, node: str, numbers: Mapping[str, int]) -> Look:
        """At closed ports: from here, or, where the node is this host, by another daemon that answers."""
        around = self._around
        if node != self.host.name:
            return Ports(around.network, self.host.name, around.nodes[node], numbers).look

        async def by_another(
            addresses: Sequence[str], ports: Sequence[int], timeout_s: float
        ) -> tuple[Sight, ...]:
            for name, other in sorted(around.daemons.items()):
                answers = other.process.alive and not other.process.stopped
                if name != self.name and answers and around.network.passes(self.host.name, other.host):
                    there = Ports(around.network, other.host, around.nodes[node], numbers)
                    return await there.look(addresses, ports, timeout_s)
            return tuple(Sight(a, p, Seen.UNKNOWN, "nobody else can tell") for a in addresses for p in ports)

        return by_another


def _answers(daemons: Mapping[str, Running], host: str) -> bool:
    """Whether a daemon on that host runs, and does not stand still."""
    return any(
        each.host == host and each.process.alive and not each.process.stopped for each in daemons.values()
    )
