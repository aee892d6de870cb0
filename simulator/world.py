"""The whole world of one run: two sites and a witness, three controllers, one zone, clients.

    site-a: mail-a, ns1        site-b: mail-b, ns2        site-w: witness
    a controller for each observer; the ensemble as one host of its own, or beside the only controller

Everything true stands here; `World.changed` is called whenever something of it has changed, so that
checkers look at each state and not only at the last.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from mailward.controller.core.phases import desired_rrsets
from mailward.model.dns import RRset
from mailward.model.fencing import PortKind
from mailward.model.policy import Endpoint, Policy
from mailward.model.state import Pause, Phase, Request, RequestKind, State
from mailward.simulator.controller import Controller, Surroundings
from mailward.simulator.names import NameServer, Resolver, Zone
from mailward.simulator.network import HostClock, Network
from mailward.simulator.nodes import MailNode, Replication, Work, mail_node
from mailward.simulator.store import TICK_S, Ensemble

STORE_ID = "0123456789ab"
ENSEMBLE = "ensemble"


@dataclass
class World:
    """One run's world, from `policy` and `seed`. `open` before use, `close` after. `accepted` counts messages
    which some node took responsibility for."""

    policy: Policy
    seed: int
    on_change: Callable[[str], None] = lambda _what: None
    """Called whenever something has been recorded or obeyed."""
    accepted: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.network = Network(random.Random(self.rng.random()))
        self._digest = hashlib.sha256()
        self.nodes: dict[str, MailNode] = {}
        for node in self.policy.nodes:
            host = self.network.add(node.name, node.site)
            self.nodes[node.name] = mail_node(host, [service.name for service in self.policy.services])
        for observer in self.policy.observers:
            if observer.name not in self.network.hosts:
                self.network.add(observer.name, observer.site)
        several = len(self.policy.observers) > 1
        alone = self.policy.observers[0].name
        ensemble_host = self.network.add(ENSEMBLE, "") if several else self.network.hosts[alone]
        self.network.add("clients", "")
        self.replication = Replication(self.network, self.nodes)
        self.zones = {target: self._zone(target) for target in self.policy.targets}
        loop = asyncio.get_running_loop()
        self.ensemble = Ensemble(State(STORE_ID, 0), loop.time, on_commit=self._committed)
        around = Surroundings(
            self.network,
            self.nodes,
            self.replication,
            self.zones,
            self.ensemble,
            ensemble_host.name,
            self.rng,
        )
        self.controllers = {
            observer.name: Controller(observer.name, self.network.hosts[observer.name], self.policy, around)
            for observer in self.policy.observers
        }
        self.resolver = Resolver(
            self.network, "clients", next(iter(self.zones.values())), random.Random(self.rng.random())
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = 0

    def _zone(self, target: str) -> Zone:
        names = [self.network.add(f"{target}-ns{n}", f"site-{n}").name for n in (1, 2)]
        zone = Zone(self.network, NameServer(names[0]), (NameServer(names[1]),))
        wanted = desired_rrsets(self.policy, State(STORE_ID, 0), target)
        for server in zone.servers:
            server.rrsets = {rrset.key: rrset for rrset in wanted if rrset.values}
        return zone

    async def open(self) -> None:
        """Everything runs, all are up, and nobody has decided anything yet."""
        bodies = [("expiry", self._expire()), ("replication", self.replication.run())]
        for zone in self.zones.values():
            for secondary in zone.secondaries:
                bodies.append((secondary.name, zone.follow(secondary, random.Random(self.rng.random()))))
        bodies.append(("clients", self._submit()))
        self._tasks = [asyncio.create_task(body, name=name) for name, body in bodies]
        for controller in self.controllers.values():
            controller.start()

    async def close(self) -> None:
        for controller in self.controllers.values():
            controller.bury()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # what happens by itself

    async def _expire(self) -> None:
        while True:
            self.ensemble.expire()
            await asyncio.sleep(TICK_S)

    async def _submit(self) -> None:
        """Clients hand in a message now and then, at whatever address answers first."""
        rng = random.Random(self.rng.random())
        while True:
            await asyncio.sleep(rng.uniform(1.0, 5.0))
            for endpoint in self.policy.endpoints:
                node = self.reached(endpoint)
                if node is not None and not node.disk_full:
                    self.accepted += 1
                    node.mailbox[f"m{self.accepted}"] = self.now_s

    def _committed(self, before: State, after: State, by: object) -> None:
        self.note(f"commit by {by}")
        self.on_change("commit")

    # what is true

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def state(self) -> State:
        return self.ensemble.state

    @property
    def receivers(self) -> list[str]:
        """The hosts that obey orders: mail nodes and the primaries of the zones."""
        return [*self.nodes, *(zone.primary.name for zone in self.zones.values())]

    def node_at(self, address: str) -> MailNode:
        return next(self.nodes[node.name] for node in self.policy.nodes if address in node.addresses)

    def reached(self, endpoint: Endpoint) -> MailNode | None:
        """The node a client ends at which resolves now and tries each address."""
        for address in self.resolver.resolve(endpoint.name):
            node = self.node_at(address)
            if all(node.serves(service) for service in endpoint.services) and self.network.passes(
                "clients", node.name
            ):
                return node
        return None

    def published(self, target: str, endpoint: str) -> tuple[str, ...]:
        """Nodes the primary of a target answers for an endpoint."""
        addresses = self.zones[target].primary.addresses(endpoint)
        return tuple(dict.fromkeys(self.node_at(address).name for address in addresses))

    def settled(self, mail_s: float = 0.0) -> str:
        """'' when all is as it should be after every fault has ended: full redundancy, nobody out but by an
        operator's word, nothing pending, DNS right, every message everywhere that is older than `mail_s`."""
        state = self.state
        if state.operation is not None or state.orders:
            return f"operation {state.operation and state.operation.kind}, {len(state.orders)} orders out"
        for record in state.phases:
            if record.phase is not Phase.IN_SERVICE and record.cause.value != "operator":
                return f"{record.node} is {record.phase} for {record.endpoint}"
        for target, zone in self.zones.items():
            for rrset in desired_rrsets(self.policy, state, target):
                for server in zone.servers:
                    there = server.rrsets.get(rrset.key) or RRset(rrset.name, rrset.type, rrset.ttl_s, ())
                    if there != rrset:
                        return f"{server.name} answers {there}, wanted {rrset}"
        for node in self.nodes.values():
            published = any(r.node == node.name and r.phase is Phase.IN_SERVICE for r in state.phases)
            for service, port in node.helper.ports.items():
                if published and port.kind is not PortKind.OPEN:
                    return f"{service} of {node.name} is {port}"
            waiting = [at_s for at_s in node.mailbox.values() if self.now_s - at_s >= mail_s]
            if waiting:
                return f"{len(waiting)} messages of {node.name} are not on every node"
        return ""

    # what people do

    def ask(self, kind: RequestKind, node: str, *, force: bool = False) -> None:
        self._asked += 1
        now = self._clients_clock().now()
        self.ensemble.post(Request(f"r{self._asked}", kind, node, "ann", "simulated", now, force))
        self.note(f"{kind} of {node} asked for")

    def pause(self, for_s: float) -> None:
        now = self._clients_clock().now()
        self.ensemble.post(Pause("ann", "simulated", now, now.wall_s + for_s))

    def pause_in_force_everywhere(self) -> bool:
        """By the wall clock of each controller's host: a jumped one may see its end early."""
        pause, loop = self.ensemble.pause, asyncio.get_running_loop()
        clocks = [HostClock(controller.host, loop) for controller in self.controllers.values()]
        return pause is not None and all(pause.in_force(clock.now()) for clock in clocks)

    def _clients_clock(self) -> HostClock:
        return HostClock(self.network.hosts["clients"], asyncio.get_running_loop())

    # the transcript

    def note(self, what: str) -> None:
        """One line of the run's transcript; the digest is over all of them."""
        self._digest.update(f"{self.now_s:.6f} {what}\n".encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()[:16]


def broken(node: MailNode) -> bool:
    return any(work is not Work.WELL for work in node.services.values()) or not node.host.answers
