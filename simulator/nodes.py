"""Mail nodes as they truly are: services, ports, the helper's memory, mailboxes.

The helper obeys as the real one: higher tokens of its own store only, within two seconds of its hello, and
its memory outlives a boot. What it has opened for a lease the kernel refuses when that has run out, and only
a new order opens it again. Replication carries every message to the other node while both run and the link
is whole; what it has not carried is the lag.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

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
    opens,
)
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.hooks import Hooks
from mailward.simulator.network import Host, Network
from mailward.simulator.virtual import running_loop

WINDOW_S = 2.0
"""From the helper's hello to the order: what comes later is void."""
RENEWAL_WINDOW_S = 2.0
"""The same of a renewal, with all that its firewall has to do."""
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
    open; `stopped`: whether what writes mail is, remembered as well (None: no order wants it); `stood_s`: for
    how long its machine has stood still, which no clock of its own has counted."""

    ports: dict[str, PortState]
    token: Token | None = None
    works: bool = True
    held: bool = False
    lease: Lease | None = None
    stopped: bool | None = None
    stood_s: float = 0.0
    log: list[Obeyed] = field(default_factory=list)
    on_obeyed: Callable[[Obeyed], None] = lambda _entry: None
    on_stop: Callable[[], None] = lambda: None
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
        self, token: Token, at_s: float, ports: PortMap | None, hello_s: float, terms: Terms = PLAIN
    ) -> HelperAnswer:
        if at_s - hello_s > WINDOW_S:
            return HelperAnswer(HelperReply.REFUSED, self.token, detail="late")
        if self.token is not None and token.store_id != self.token.store_id:
            return HelperAnswer(
                HelperReply.FOREIGN, self.token, detail=f"it belongs to {self.token.store_id}"
            )
        if self.token is not None and token <= self.token:
            return HelperAnswer(HelperReply.STALE, self.token, detail=f"it has obeyed {self.token}")
        if terms.stop and (ports is None or opens(ports)):
            return HelperAnswer(HelperReply.REFUSED, self.token, detail="writers stop where all is closed")
        self.token = token
        if ports is not None:
            self.ports, self.held = dict(ports), False
            self.lease = _leased(ports, terms.lease_s, at_s)
            self.stopped = terms.stop or None
            if terms.stop:
                self.on_stop()
        self.log.append(Obeyed(at_s, token, "claim" if ports is None else "ports", at_s - hello_s))
        self.on_obeyed(self.log[-1])
        return HelperAnswer(HelperReply.OBEYED, token, dict(self.ports), stopped=terms.stop or None)

    def promoted(self, ports: dict[str, PortState], lease_s: float | None) -> None:
        """What was ordered with a hook opens when that is verified, and its lease begins."""
        self.ports, self.held, self.stopped = ports, False, None
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
        self.helper.on_stop = self._stop

    def serves(self, service: str) -> bool:
        """As a client finds it."""
        return self.host.answers and self.helper.opens(service) and self.work_of(service) is Work.WELL

    def work_of(self, service: str) -> Work:
        """Of what writes mail: where that is stopped no service answers."""
        return Work.CRASHED if self.helper.stopped else self.services[service]

    def fail(self, services: Iterable[str], work: Work) -> Callable[[], None]:
        """They crash or hang, until what is returned is called; what is stopped cannot."""
        running = self.services
        if not self.helper.stopped:
            running.update(dict.fromkeys(services, work))
        return lambda: running.update(dict.fromkeys(services, Work.WELL))

    def _stop(self) -> None:
        """What is started again later is well."""
        self.services = dict.fromkeys(self.services, Work.WELL)

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
        if self.helper.stopped:
            unit = UnitState.INACTIVE
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
            stopped=self.helper.stopped,
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
