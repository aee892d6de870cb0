"""The whole world of one run, as a policy has it: its nodes and observers on their sites, a controller for
each observer, and what the policy only names.

    each DNS target: a primary and a secondary, on sites of their own, as a provider's are
    the ensemble: a host of its own, on no site; or, with one controller, beside it
    the clients: a host of their own, on no site

Everything true stands here; `World.changed` is called whenever something of it has changed, so that
checkers look at each state and not only at the last.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mailward.controller.core import admission
from mailward.controller.core.phases import desired_rrsets
from mailward.model.clock import Moment
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED
from mailward.model.orders import Order
from mailward.model.policy import Automation, Deployment, Endpoint, Node, Policy, RungKind
from mailward.model.state import Operation, Pause, Phase, PhaseRecord, Request, RequestKind, State
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.controller import Controller, Surroundings
from mailward.simulator.names import NameServer, Resolver, Zone
from mailward.simulator.network import EPOCH_WALL_S, HostClock, Network
from mailward.simulator.nodes import Helper, MailNode, Obeyed, Replication, mail_node
from mailward.simulator.power import Board
from mailward.simulator.store import TICK_S, Backup, Ensemble, Written

STORE_ID = "0123456789ab"
BACKUP_S = 120.0
ENSEMBLE = "ensemble"


def _has_board(node: Node) -> bool:
    return any(rung.kind is RungKind.AGENT for rung in node.ladder)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An order as it was recorded, and the operation it was recorded with."""

    at_s: float
    order: Order
    operation: Operation | None


@dataclass
class World:
    """One run's world, from `policy` and `seed`. `open` before use, `close` after. `accepted` counts
    messages which some node took responsibility for. Of the receivers in `outdated` the store knows less
    than they remember, since then; it knows what happened from `memory_from_s` on. Until `late_until_s`
    something may be obeyed that was begun in time, and was late in the network or in a process that
    stood still."""

    policy: Policy
    seed: int
    on_change: Callable[[str], None] = lambda _what: None
    """Called whenever something has been recorded or obeyed."""
    accepted: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.network = Network(random.Random(self.rng.random()))
        self._digest = hashlib.sha256()
        self.recorded: dict[Token, Recorded] = {}
        self.commits: list[Written] = []
        self.backups: list[Backup] = []
        self.outdated: dict[str, float] = {}
        self.memory_from_s = float("-inf")
        self.foreign: set[str] = set()
        self.late_until_s = 0.0
        self.reasons_outside: list[str] = []
        self.nodes: dict[str, MailNode] = {}
        for node in self.policy.nodes:
            host = self.network.add(node.name, node.site)
            self.nodes[node.name] = mail_node(host, [service.name for service in self.policy.services])
        self.boards = {node.name: self._board(node) for node in self.policy.nodes if _has_board(node)}
        self.switched_off: dict[str, float] = {}
        if self.policy.deployment is Deployment.CLUSTER:
            for name, there in self.nodes.items():
                there.boots_closed = True
                if name != self.policy.nodes[0].name:
                    there.helper.ports = dict.fromkeys(there.services, CLOSED)
                    there.hooks.demoted = True
        self._names = {address: node.name for node in self.policy.nodes for address in node.addresses}
        for observer in self.policy.observers:
            if observer.name not in self.network.hosts:
                self.network.add(observer.name, observer.site)
        several = len(self.policy.observers) > 1
        alone = self.policy.observers[0].name
        ensemble_host = self.network.add(ENSEMBLE, "") if several else self.network.hosts[alone]
        self.network.add("clients", "")
        self.replication = Replication(self.network, self.nodes)
        self.zones = {target: self._zone(target) for target in self.policy.targets}
        helpers = {name: node.helper for name, node in self.nodes.items()}
        self.obeying: dict[str, Helper | Zone] = {**helpers, **self.zones}
        self._listen()
        loop = self._loop = asyncio.get_running_loop()
        made = State(STORE_ID, 0, 0, phases=self._phases(self.policy.nodes[0].name))
        self.ensemble = Ensemble(made, loop.time, on_commit=self._committed)
        around = Surroundings(
            self.network,
            self.nodes,
            self.replication,
            self.zones,
            self.ensemble,
            ensemble_host.name,
            self.rng,
            self.boards,
        )
        self.controllers = {
            observer.name: Controller(observer.name, self.network.hosts[observer.name], self.policy, around)
            for observer in self.policy.observers
        }
        self.resolvers = self.new_resolvers(self.rng)
        self._tasks: list[asyncio.Task[None]] = []
        self.asked: dict[str, Request] = {}

    def new_resolvers(self, rng: random.Random) -> dict[str, Resolver]:
        """For clients: one that asks each target's name servers. Whoever asks may meet any of them."""
        return {
            name: Resolver(self.network, "clients", zone, random.Random(rng.random()))
            for name, zone in self.zones.items()
        }

    def _zone(self, target: str) -> Zone:
        names = [f"{target}-ns1", f"{target}-ns2"]
        for name in names:
            self.network.add(name, name)
        guarded = target not in self.policy.unguarded
        zone = Zone(self.network, NameServer(names[0]), (NameServer(names[1]),), guarded=guarded)
        made = State(STORE_ID, 0, phases=self._phases(self.policy.nodes[0].name))
        wanted = desired_rrsets(self.policy, made, target)
        for server in zone.servers:
            server.rrsets = {rrset.key: rrset for rrset in wanted if rrset.values}
        return zone

    def _phases(self, active: str) -> tuple[PhaseRecord, ...]:
        """What a person says when a cluster's store is made: who serves. Of a hybrid nobody says it."""
        if self.policy.deployment is not Deployment.CLUSTER:
            return ()
        return admission.serving(self.policy, active, Moment("made", 0.0, EPOCH_WALL_S))

    def _board(self, node: Node) -> Board:
        name = f"{node.name}-power"
        self.network.add(name, node.site)
        there = self.nodes[node.name].host
        rng = random.Random(self.rng.random())
        return Board(name, partial(self.switch_off, node.name), lambda: there.up, rng)

    def switch_off(self, name: str) -> None:
        """A node loses its power, and the daemon beside it; somebody switches it on again some time later."""
        controller = self.controllers.get(name)
        if controller is not None:
            controller.kill()
        self.nodes[name].crash()
        self.switched_off[name] = self.now_s
        self.note(f"{name} switched off")
        self.on_change("off")

    def switch_on(self, name: str) -> None:
        self.switched_off.pop(name, None)
        self.nodes[name].boot()
        controller = self.controllers.get(name)
        if controller is not None and not controller.runs:
            controller.start()
        self.note(f"{name} switched on")

    def _listen(self) -> None:
        for name, receiver in self.obeying.items():
            receiver.on_obeyed = partial(self._obeyed, name)

    def _obeyed(self, name: str, entry: Obeyed) -> None:
        self.note(f"{name} obeyed {entry.token} {entry.what}")
        self.on_change("obeyed")

    async def open(self) -> None:
        """Everything runs, all are up, and nobody has decided anything yet."""
        bodies = [("expiry", self._expire()), ("replication", self.replication.run())]
        for zone in self.zones.values():
            for secondary in zone.secondaries:
                bodies.append((secondary.name, zone.follow(secondary, random.Random(self.rng.random()))))
        bodies += [("clients", self._submit()), ("backups", self._back_up())]
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
            await virtual.sleep(TICK_S)

    async def _submit(self) -> None:
        """Clients hand in a message now and then, at whatever address answers first."""
        rng = random.Random(self.rng.random())
        while True:
            await virtual.sleep(rng.uniform(1.0, 5.0))
            for endpoint in self.policy.endpoints:
                node = self.reached(endpoint)
                if node is not None and not node.disk_full:
                    self.accepted += 1
                    node.mailbox[f"m{self.accepted}"] = self.now_s

    async def _back_up(self) -> None:
        """Somebody's script, and the last hour of what it kept."""
        while True:
            self.backups = [*self.backups[-12:], self.ensemble.backup()]
            await virtual.sleep(BACKUP_S)

    def _committed(self, written: Written) -> None:
        for order in written.after.orders:
            self.recorded.setdefault(order.token, Recorded(self.now_s, order, written.after.operation))
        self.commits.append(written)
        self.note(f"commit by {written.leader}")
        self.on_change("commit")

    # what is true

    @property
    def now_s(self) -> float:
        return self._loop.time()

    @property
    def state(self) -> State:
        return self.ensemble.state

    @property
    def receivers(self) -> list[str]:
        """The hosts that obey orders: mail nodes and the primaries of the zones."""
        return [*self.nodes, *(zone.primary.name for zone in self.zones.values())]

    def node_at(self, address: str) -> MailNode:
        return self.nodes[self._names[address]]

    def reached(self, endpoint: Endpoint) -> MailNode | None:
        """The node a client ends at which resolves now and tries each address."""
        targets = endpoint.targets
        target = targets[0] if len(targets) == 1 else self.rng.choice(targets)
        for address in self.resolvers[target].resolve(endpoint.name):
            node = self.node_at(address)
            if all(node.serves(service) for service in endpoint.services) and self.network.passes(
                "clients", node.name
            ):
                return node
        return None

    def published(self, target: str, endpoint: str) -> tuple[str, ...]:
        """Nodes the primary of a target answers for an endpoint."""
        addresses = self.zones[target].primary.addresses(endpoint)
        return tuple(dict.fromkeys([self._names[address] for address in addresses]))

    def settled(self, mail_s: float = 0.0) -> str:
        """'' when all is as it should be after every fault has ended: full redundancy, nobody out but by an
        operator's word, nothing pending, DNS right, every message everywhere that is older than `mail_s`."""
        state = self.state
        if state.operation is not None or state.orders:
            return f"operation {state.operation and state.operation.kind}, {len(state.orders)} orders out"
        standing = [
            Phase.IN_SERVICE,
            *([Phase.STANDBY] if self.policy.deployment is Deployment.CLUSTER else []),
        ]
        if not any(record.phase is Phase.IN_SERVICE for record in state.phases):
            return "nobody is in service"
        for record in state.phases:
            if record.phase not in standing and record.cause.value != "operator":
                return f"{record.node} is {record.phase} for {record.endpoint}"
        for target, zone in self.zones.items():
            if self.policy.automation is Automation.OBSERVE and not state.target(target).claimed_in(
                state.epoch
            ):
                continue  # nobody has asked this leader for anything
            for rrset in desired_rrsets(self.policy, state, target):
                for server in zone.servers:
                    there = server.rrsets.get(rrset.key) or RRset(rrset.name, rrset.type, rrset.ttl_s, ())
                    if there != rrset:
                        return f"{server.name} answers {there}, wanted {rrset}"
        for node in self.nodes.values():
            published = any(r.node == node.name and r.phase is Phase.IN_SERVICE for r in state.phases)
            for service, port in node.helper.ports.items():
                if published and not node.helper.opens(service):
                    return f"{service} of {node.name} is {port}"
            waiting = [at_s for at_s in node.mailbox.values() if self.now_s - at_s >= mail_s]
            if waiting:
                return f"{len(waiting)} messages of {node.name} are not on every node"
        return ""

    # what people do

    def ask(
        self, kind: RequestKind, node: str, *, force: bool = False, operation: str = "",
        in_s: float | None = None, cancels: str = "",
    ) -> str:  # fmt: skip
        """The request's id; `in_s`: it is for so much later."""
        now, name = self._clients_clock().now(), f"r{len(self.asked) + 1}"
        asked = self.asked[name] = Request(
            name, kind, node, "ann", "simulated", now, force, operation, epoch=self.state.epoch,
            due_wall_s=None if in_s is None else now.wall_s + in_s, cancels=cancels,
        )  # fmt: skip
        self.ensemble.post(asked)
        self.note(f"{kind} of {node} asked for")
        return name

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

    def restore(self, backup: Backup) -> None:
        """A well-meant restore of the store. From now on it may be older than what receivers remember."""
        self.ensemble.restore(backup)
        self.memory_from_s = self.now_s
        self.outdated = {
            name: self.now_s
            for name, receiver in self.obeying.items()
            if name not in self.foreign and self._sent_since(receiver.token, backup.at_s)
        }
        self.note("the store was restored from a backup")

    def _sent_since(self, token: Token | None, at_s: float) -> bool:
        recorded = self.recorded.get(token) if token is not None else None
        return recorded is not None and recorded.at_s > at_s

    def make_store_anew(self) -> None:
        """What a person does who was told so: `mailward state init --adopt`, above all that is remembered;
        whom DNS names no more is out of service, as that command has it."""
        ours = [r.token for name, r in self.obeying.items() if r.token and name not in self.foreign]
        epochs = [token.epoch for token in ours]
        version = self.ensemble.state_version + 1
        epoch = max([self.ensemble.epoch, *epochs])
        made = State(STORE_ID, epoch, epoch, phases=self._phases_found())
        self.ensemble.restore(Backup(made, epoch, version, self.now_s))
        self.outdated.clear()
        self.memory_from_s = self.now_s
        self.note("the store was made anew")

    def _phases_found(self) -> tuple[PhaseRecord, ...]:
        """Where the nodes stand for a store that is made while they serve."""
        if self.policy.deployment is Deployment.CLUSTER:
            named = [n for t in self.zones for e in self.policy.endpoints for n in self.published(t, e.name)]
            there = [name for name, node in self.nodes.items() if node.opens] + named + list(self.nodes)
            return self._phases(there[0])
        zones = [zone for target, zone in self.zones.items() if target not in self.foreign]
        answers = [rrset for zone in zones for rrset in zone.primary.rrsets.values()]
        return admission.left_out(self.policy, answers, self._clients_clock().now())

    # the fault model

    def outside(self, reason: str) -> None:
        """This run has left what the rules assume: what follows is counted apart."""
        if reason not in self.reasons_outside:
            self.reasons_outside.append(reason)
            self.note(f"outside the fault model: {reason}")

    # the transcript

    def note(self, what: str) -> None:
        """One line of the run's transcript; the digest is over all of them."""
        self._digest.update(f"{self.now_s:.6f} {what}\n".encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()[:16]
