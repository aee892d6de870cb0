"""Mail nodes as they truly are: services, ports, the helper's memory, mailboxes.

The helper obeys as the real one: higher tokens of its own store only, within two seconds of its hello, and
its memory outlives a boot. Replication carries every message to the other node while both run and the link
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
    NodeFacts,
    PortKind,
    PortMap,
    PortState,
    Space,
    Terms,
    UnitState,
)
from mailward.model.replication import Confidence, Lag
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.network import Host, Network

T = TypeVar("T")

WINDOW_S = 2.0
"""From the helper's hello to the order: what comes later is void."""
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
class Helper:
    """`mailward-node`: what it remembers on disk. `works` is whether it answers at all; `held`: since it
    booted every port is closed, whatever is remembered, until the next order."""

    ports: dict[str, PortState]
    token: Token | None = None
    works: bool = True
    held: bool = False
    log: list[Obeyed] = field(default_factory=list)
    on_obeyed: Callable[[Obeyed], None] = lambda _entry: None

    def opens(self, service: str) -> bool:
        return self.ports[service].kind is PortKind.OPEN and not self.held

    def obey(self, token: Token, at_s: float, ports: PortMap | None, hello_s: float) -> HelperAnswer:
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
        self.log.append(Obeyed(at_s, token, "claim" if ports is None else "ports", at_s - hello_s))
        self.on_obeyed(self.log[-1])
        return HelperAnswer(HelperReply.OBEYED, token, dict(self.ports))


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
        )


def _open(port: PortState) -> bool:
    return port.kind is PortKind.OPEN


def mail_node(host: Host, services: Sequence[str]) -> MailNode:
    return MailNode(
        host.name, host, dict.fromkeys(services, Work.WELL), Helper(dict.fromkeys(services, OPEN))
    )


class HelperClient:
    """The port `Helper` from one host to a node: hello, then the order within the helper's window. Terms are
    not played: what wants them is refused."""

    def __init__(self, network: Network, source: str, node: MailNode, timeout_s: float = 3.0) -> None:
        self.name = f"helper of {node.name}"
        self._network = network
        self._source = source
        self._node = node
        self._timeout_s = timeout_s

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        if terms != PLAIN:
            return HelperAnswer(HelperReply.REFUSED, detail="the simulator plays no terms")
        return await self._told(token, ports)

    async def claim(self, token: Token) -> HelperAnswer:
        return await self._told(token, None)

    async def renew(self, token: Token) -> HelperAnswer:
        return HelperAnswer(HelperReply.REFUSED, detail="the simulator plays no leases")

    async def status(self) -> NodeFacts | str:
        def there() -> NodeFacts | str:
            return self._node.facts() if self._node.helper.works else "the helper does not run"

        try:
            return await self._call(there, self._timeout_s)
        except TimeoutError:
            return f"no answer in {self._timeout_s:g} s"

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        return await self._network.call(self._source, self._node.name, there, timeout_s)

    async def _told(self, token: Token, ports: PortMap | None) -> HelperAnswer:
        loop, node = asyncio.get_running_loop(), self._node
        until_s = loop.time() + self._timeout_s

        def hello() -> float | None:
            return loop.time() if node.helper.works else None

        try:
            greeted_s = await self._call(hello, self._timeout_s)
            if greeted_s is None:
                return HelperAnswer(HelperReply.UNKNOWN, detail="the helper does not run")

            def obey() -> HelperAnswer:
                return node.helper.obey(token, loop.time(), ports, greeted_s)

            return await self._call(obey, until_s - loop.time())
        except TimeoutError:
            return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer in {self._timeout_s:g} s")


class AskedClient(HelperClient):
    """The same by way of the ensemble and the daemon beside the node: nobody answers while it does not run, or
    stands still. `beside` says whether it runs."""

    def __init__(
        self, network: Network, source: str, node: MailNode, ensemble: str, beside: Callable[[], bool]
    ) -> None:
        super().__init__(network, source, node)
        self._ensemble = ensemble
        self._beside = beside

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        loop, node, network = asyncio.get_running_loop(), self._node, self._network
        until_s = loop.time() + timeout_s

        def passed_on() -> tuple[T] | None:
            return (there(),) if self._beside() else None

        await network.call(self._source, self._ensemble, lambda: None, timeout_s)
        answer = await network.call(self._ensemble, node.name, passed_on, until_s - loop.time())
        if answer is None:
            await asyncio.sleep(max(0.0, until_s - loop.time()))
            raise TimeoutError
        await network.call(self._source, self._ensemble, lambda: None, until_s - loop.time())
        return answer[0]


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
