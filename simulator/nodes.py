"""Mail nodes as they truly are: services, ports, the helper's memory, mailboxes.

The helper obeys as the real one: higher tokens of its own store only, within two seconds of its hello, and
its memory outlives a boot. What it has opened for a lease the kernel refuses when that has run out, and only
a new order opens it again. Replication carries every message to the other node while both run and the link
is whole; what it has not carried is the lag.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from mailward.fencing.verification import Seen, Sight
from mailward.model.fencing import (
    OPEN,
    PLAIN,
    HelperAnswer,
    HelperReply,
    Hook,
    NodeFacts,
    PortKind,
    PortMap,
    PortState,
    Space,
    Terms,
    UnitState,
    opens,
)
from mailward.model.replication import Confidence, Lag
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.hooks import Hooks, Run
from mailward.simulator.network import Host, Network
from mailward.simulator.virtual import running_loop

T = TypeVar("T")

WINDOW_S = 2.0
"""From the helper's hello to the order: what comes later is void."""
RENEWAL_WINDOW_S = 2.0
"""The same of a renewal, with all that its firewall has to do."""
POLL_S = 0.25
GIB = 1024**3


class Work(Enum):
    """How a service does."""

    WELL = auto()
    CRASHED = auto()
    HUNG = auto()


@dataclass(frozen=True, slots=True)
class Obeyed:
    """One order or claim that a receiver obeyed; a helper had said hello `after_s` before."""

    at_s: float
    token: Token
    what: str
    after_s: float = 0.0


@dataclass
class Lease:
    """What the kernel counts: open until `until_s`, by a clock that stands still while its machine does,
    since `still_s`. By an honest clock it would be over at `honest_s`."""

    lease_s: float
    until_s: float
    honest_s: float
    still_s: float | None = None

    def left_s(self, now_s: float) -> float:
        return self.until_s - (now_s if self.still_s is None else self.still_s)

    def renew(self, now_s: float) -> None:
        """While it runs; what should have been over for long stays so."""
        self.until_s = now_s + self.lease_s
        if now_s < self.honest_s:
            self.honest_s = self.until_s


@dataclass
class Helper:
    """`mailward-node`: what it remembers on disk. `works` is whether it answers at all; `held`: since it
    booted every port is closed, whatever is remembered, until the next order; `lease`: under which it is
    open; `stood_s`: for how long its machine has stood still, which no clock of its own has counted."""

    ports: dict[str, PortState]
    token: Token | None = None
    works: bool = True
    held: bool = False
    lease: Lease | None = None
    stood_s: float = 0.0
    log: list[Obeyed] = field(default_factory=list)
    on_obeyed: Callable[[Obeyed], None] = lambda _entry: None
    _still_s: float | None = field(default=None, init=False)

    def opens(self, service: str) -> bool:
        return self.ports[service].kind is PortKind.OPEN and not self.held and self.lets_in

    @property
    def lets_in(self) -> bool:
        """Whether its lease runs, or there is none."""
        return self.lease is None or self.lease.left_s(running_loop().time()) > 0.0

    @property
    def overdue(self) -> bool:
        """Whether it is open only since its kernel's clock has stood still."""
        return self.lease is not None and self.lets_in and running_loop().time() >= self.lease.honest_s

    def stands_still(self, now_s: float) -> None:
        """Its machine does, and its kernel's clock."""
        self._still_s = now_s if self._still_s is None else self._still_s
        if self.lease is not None and self.lease.still_s is None:
            self.lease.still_s = now_s

    def goes_on(self, now_s: float) -> None:
        if self._still_s is not None:
            self.stood_s += now_s - self._still_s
            self._still_s = None
        if self.lease is not None and self.lease.still_s is not None:
            self.lease.until_s += now_s - self.lease.still_s
            self.lease.still_s = None

    def boots(self) -> None:
        """What was leased is refused then."""
        if self.lease is not None:
            self.lease = Lease(self.lease.lease_s, float("-inf"), float("-inf"))

    def renew(self, token: Token, at_s: float, hello_s: float, stood_s: float) -> HelperAnswer:
        """While the lease runs, and its window: by the clock of its machine, which had stood still for
        `stood_s` at its hello."""
        if at_s - hello_s - (self.stood_s - stood_s) > RENEWAL_WINDOW_S:
            return HelperAnswer(HelperReply.REFUSED, self.token, detail="late")
        said = self._said_of(token)
        if said is not None:
            return HelperAnswer(said, self.token, detail=f"it has obeyed {self.token}")
        if self.lease is None or self.held:
            return HelperAnswer(HelperReply.REFUSED, self.token, detail="no port is open under a lease")
        if not self.lets_in:
            return HelperAnswer(HelperReply.LAPSED, self.token, detail="the lease has lapsed")
        self.lease.renew(at_s)
        return HelperAnswer(HelperReply.OBEYED, self.token, dict(self.ports))

    def _said_of(self, token: Token) -> HelperReply | None:
        """What a renewal is refused with that does not name the highest."""
        if self.token is None or token == self.token:
            return None if self.token is not None else HelperReply.REFUSED
        if token.store_id != self.token.store_id:
            return HelperReply.FOREIGN
        return HelperReply.STALE if token < self.token else HelperReply.REFUSED

    def obey(
        self, token: Token, at_s: float, ports: PortMap | None, hello_s: float, lease_s: float | None = None
    ) -> HelperAnswer:
        if at_s - hello_s > WINDOW_S:
            return HelperAnswer(HelperReply.REFUSED, self.token, detail="late")
        if self.token is not None and token.store_id != self.token.store_id:
            return HelperAnswer(
                HelperReply.FOREIGN, self.token, detail=f"it belongs to {self.token.store_id}"
            )
        if self.token is not None and token <= self.token:
            return HelperAnswer(HelperReply.STALE, self.token, detail=f"it has obeyed {self.token}")
        self.token = token
        if ports is not None:
            self.ports, self.held = dict(ports), False
            self.lease = _leased(ports, lease_s, at_s)
        self.log.append(Obeyed(at_s, token, "claim" if ports is None else "ports", at_s - hello_s))
        self.on_obeyed(self.log[-1])
        return HelperAnswer(HelperReply.OBEYED, token, dict(self.ports))

    def promoted(self, ports: dict[str, PortState], lease_s: float | None) -> None:
        """What was ordered with a hook opens when that is verified, and its lease begins."""
        self.ports, self.held = ports, False
        self.lease = _leased(ports, lease_s, running_loop().time())
        self.on_obeyed(self.log[-1])


def _leased(ports: PortMap, lease_s: float | None, at_s: float) -> Lease | None:
    return None if lease_s is None or not opens(ports) else Lease(lease_s, at_s + lease_s, at_s + lease_s)


@dataclass
class MailNode:
    """One mail server. `mailbox` maps each message that some other node still lacks to when it came here,
    `whole` counts those that everybody has; `replicates` is whether its own replicator works; `boots_closed`:
    its helper opens nothing at boot once it has ever obeyed, as a cluster's is configured."""

    name: str
    host: Host
    services: dict[str, Work]
    helper: Helper
    mailbox: dict[str, float] = field(default_factory=dict)
    whole: int = 0
    disk_full: bool = False
    restarting: bool = False
    replicates: bool = True
    boots_closed: bool = False
    booted_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.hooks = Hooks(self.host, lambda: self.helper.token, self.helper.promoted)

    def serves(self, service: str) -> bool:
        """As a client finds it."""
        return self.host.answers and self.helper.opens(service) and self.services[service] is Work.WELL

    def crash(self) -> None:
        """The host dies; its disk stays."""
        self.host.up = False
        self.host.frozen = False

    def boot(self) -> None:
        """It comes back with its disk as it was: the ports as remembered, the services started."""
        self.host.up = True
        self.host.boots += 1
        self.services = dict.fromkeys(self.services, Work.WELL)
        self.restarting = False
        self.booted_s = asyncio.get_running_loop().time()
        self.helper.boots()
        self.helper.held = self.boots_closed and self.helper.token is not None

    @property
    def opens(self) -> bool:
        """Whether anybody could be served by it, now or when it goes on."""
        return self.host.up and any(map(self.helper.opens, self.services))

    def facts(self) -> NodeFacts:
        free = 0 if self.disk_full else 10 * GIB
        unit = UnitState.RESTARTING if self.restarting else UnitState.ACTIVE
        return NodeFacts(
            hostname=self.name,
            boot_id=f"{self.name}-{self.host.boots}",
            token=self.helper.token,
            ports=dict(self.helper.ports),
            applied=not (self.helper.held and any(map(_open, self.helper.ports.values()))),
            units={"dovecot": unit},
            package_manager=False,
            paths={"mail": Space(free, 20 * GIB, 10**6, 2 * 10**6)},
            lease_s=self.helper.lease.lease_s if self.helper.lease is not None else None,
            lease_left_s=self._lease_left_s(),
        )

    def _lease_left_s(self) -> float | None:
        """Whole seconds, as the kernel tells it."""
        lease = self.helper.lease
        return None if lease is None else float(int(max(0.0, lease.left_s(running_loop().time()))))


def _open(port: PortState) -> bool:
    return port.kind is PortKind.OPEN


def mail_node(host: Host, services: Sequence[str]) -> MailNode:
    return MailNode(
        host.name, host, dict.fromkeys(services, Work.WELL), Helper(dict.fromkeys(services, OPEN))
    )


class HelperClient:
    """The port `Helper` from one host to a node: hello, then the order within the helper's window. Of terms
    leases and hooks are played: what wants another is refused."""

    def __init__(self, network: Network, source: str, node: MailNode, timeout_s: float = 3.0) -> None:
        self.name = f"helper of {node.name}"
        self._network = network
        self._source = source
        self._node = node
        self._timeout_s = timeout_s

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        if terms != Terms(lease_s=terms.lease_s, hook=terms.hook):
            return HelperAnswer(HelperReply.REFUSED, detail="the simulator plays no such terms")
        if terms.hook is None:
            return await self._told(token, ports, terms.lease_s)
        hook, runs = terms.hook, list[Run]()

        def begin() -> None:
            runs.append(self._node.hooks.begin(hook, token, dict(ports), terms.lease_s))

        answer = await self._told(token, None if hook is Hook.PROMOTE else ports, then=begin)
        return await self._ended(runs[0], terms.extra_s) if runs else answer

    async def claim(self, token: Token) -> HelperAnswer:
        return await self._told(token, None)

    async def renew(self, token: Token) -> HelperAnswer:
        """By the daemon beside it; the program that carries it out may be late, and outlive that."""
        loop, helper = running_loop(), self._node.helper
        hello_s, stood_s = loop.time(), helper.stood_s

        def renew() -> HelperAnswer | None:
            return helper.renew(token, loop.time(), hello_s, stood_s) if helper.works else None

        try:
            answer = await self._network.call_beside(self._node.name, renew, self._timeout_s)
        except TimeoutError:
            return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer in {self._timeout_s:g} s")
        return answer or HelperAnswer(HelperReply.UNKNOWN, detail="the helper does not run")

    async def status(self) -> NodeFacts | str:
        def there() -> NodeFacts | str:
            return self._node.facts() if self._node.helper.works else "the helper does not run"

        try:
            return await self._call(there, self._timeout_s)
        except TimeoutError:
            return f"no answer in {self._timeout_s:g} s"

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        return await self._network.call(self._source, self._node.name, there, timeout_s)

    async def _ended(self, run: Run, within_s: float) -> HelperAnswer:
        """The answer of a hook, as long as the connection to whoever runs it lasts."""
        until_s = asyncio.get_running_loop().time() + within_s
        try:
            while asyncio.get_running_loop().time() < until_s:
                answer = await self._call(lambda: run.answer, self._timeout_s)
                if answer is not None:
                    return answer
                await virtual.sleep(POLL_S)
        except TimeoutError:
            pass
        return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer of {run.hook}")

    async def _told(
        self,
        token: Token,
        ports: PortMap | None,
        lease_s: float | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> HelperAnswer:
        loop, node = asyncio.get_running_loop(), self._node
        until_s = loop.time() + self._timeout_s

        def hello() -> float | None:
            return loop.time() if node.helper.works else None

        try:
            greeted_s = await self._call(hello, self._timeout_s)
            if greeted_s is None:
                return HelperAnswer(HelperReply.UNKNOWN, detail="the helper does not run")

            def obey() -> HelperAnswer:
                answer = node.helper.obey(token, loop.time(), ports, greeted_s, lease_s)
                if answer.reply is HelperReply.OBEYED:
                    then()
                return answer

            return await self._call(obey, until_s - loop.time())
        except TimeoutError:
            return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer in {self._timeout_s:g} s")


class AskedClient(HelperClient):
    """The same by way of the ensemble and the daemon beside the node. A letter lies there as long as its
    writer waits: for a quorum, and for that daemon, which may not run, or stand still."""

    def __init__(
        self, network: Network, source: str, node: MailNode, ensemble: str, *,
        has_quorum: Callable[[], bool], beside: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(network, source, node)
        self._ensemble = ensemble
        self._has_quorum = has_quorum
        self._beside = beside

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        node, until_s = self._node.name, running_loop().time() + timeout_s

        def passed_on() -> tuple[T] | None:
            return (there(),) if self._beside() and self._has_quorum() else None

        await self._written_or_read(until_s)
        while (answer := await self._network.call(self._ensemble, node, passed_on, _left(until_s))) is None:
            await virtual.sleep(POLL_S)
        await self._written_or_read(until_s)
        return answer[0]

    async def _written_or_read(self, until_s: float) -> None:
        """By who asks."""
        way = self._source, self._ensemble, self._has_quorum
        while not await self._network.call(*way, _left(until_s)):
            await virtual.sleep(POLL_S)


def _left(until_s: float) -> float:
    left_s = until_s - running_loop().time()
    if left_s <= 0:
        raise TimeoutError
    return left_s


class Ports:
    """What the client ports look like from one host: the refusal that confirms a fence."""

    def __init__(self, network: Network, source: str, node: MailNode, numbers: Mapping[str, int]) -> None:
        self._network = network
        self._source = source
        self._node = node
        self._numbers = dict(numbers)

    async def look(
        self, addresses: Sequence[str], ports: Sequence[int], timeout_s: float
    ) -> tuple[Sight, ...]:
        """`fencing.verification.Look`."""

        def there() -> bool:
            return True

        try:
            await self._network.call(self._source, self._node.name, there, timeout_s)
        except TimeoutError:
            return tuple(Sight(a, p, Seen.UNKNOWN, "no answer") for a in addresses for p in ports)
        return tuple(Sight(a, p, self._seen(p)) for a in addresses for p in ports)

    def _seen(self, port: int) -> Seen:
        service = next(name for name, number in self._numbers.items() if number == port)
        closed = not self._node.helper.opens(service)
        return Seen.REFUSED if closed or self._node.services[service] is Work.CRASHED else Seen.ACCEPTED


@dataclass
class Replication:
    """Carries messages between every two nodes, each direction by the source's replicator."""

    network: Network
    nodes: Mapping[str, MailNode]
    every_s: float = 0.5
    at_once: int = 200

    async def run(self) -> None:
        while True:
            for source in self.nodes.values():
                for target in self.nodes.values():
                    if source.mailbox and source is not target and self._runs(source, target):
                        self._carry(source, target)
            await virtual.sleep(self.every_s)

    def _runs(self, source: MailNode, target: MailNode) -> bool:
        return source.replicates and not target.disk_full and self.network.passes(source.name, target.name)

    def _carry(self, source: MailNode, target: MailNode) -> None:
        now_s = asyncio.get_running_loop().time()
        missing = [message for message in source.mailbox if message not in target.mailbox]
        for message in missing[: self.at_once]:
            target.mailbox[message] = now_s
        everybody = list(self.nodes.values())
        for message in [m for m in source.mailbox if all(m in node.mailbox for node in everybody)]:
            for node in everybody:
                del node.mailbox[message]
                node.whole += 1

    def lag(self, source: MailNode, target: MailNode) -> tuple[float, int]:
        """The truth: age of the oldest message not yet there, and how many."""
        missing = [at for message, at in source.mailbox.items() if message not in target.mailbox]
        if not missing:
            return 0.0, 0
        return asyncio.get_running_loop().time() - min(missing), len(missing)


class LagClient:
    """The port `LagSource` from one host: what a node's replicator says of every other node."""

    def __init__(
        self, network: Network, source: str, node: MailNode, replication: Replication, timeout_s: float = 3.0
    ) -> None:
        self._network = network
        self._source = source
        self._node = node
        self._replication = replication
        self._timeout_s = timeout_s

    async def measure(self) -> Sequence[Lag]:
        others = [other for name, other in self._replication.nodes.items() if name != self._node.name]

        def there() -> list[tuple[float, int]]:
            return [self._replication.lag(self._node, other) for other in others]

        try:
            found = await self._network.call(self._source, self._node.name, there, self._timeout_s)
        except TimeoutError:
            return tuple(
                Lag(self._node.name, other.name, Confidence.UNKNOWN, detail="no answer") for other in others
            )
        return tuple(
            Lag(self._node.name, other.name, Confidence.KNOWN, seconds, mailboxes, 0)
            for other, (seconds, mailboxes) in zip(others, found, strict=True)
        )

    async def kick(self) -> str:
        def there() -> bool:
            return True

        try:
            await self._network.call(self._source, self._node.name, there, self._timeout_s)
        except TimeoutError:
            return f"{self._node.name} does not answer"
        return ""
