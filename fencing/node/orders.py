"""Which orders are obeyed, and in which sequence memory and kernel are written.

- Only a token strictly above the highest obeyed, of the same store; the first one seen pins the store.
- What opens anything is remembered on disk before it is done, and refused if it cannot be: else a
  reboot or an old order could bring back what it replaced. An order that opens a part and closes a
  part is refused as a whole: a map is never half obeyed.
- What opens nothing is done at once, before the disk is touched: a disk that is full or hangs must
  not keep a port open. /run is written first, so that even a crash leaves no older order valid.
- While the memory is damaged nothing is opened; a claim or a closing order, whose token becomes the
  highest, mends it.
- Late is judged under the lock, as the last thing before acting.

Root's own hand is not an order: it needs no token and leaves the highest as it is, so the
controller's next order replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mailward.fencing.node import refusal
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.firewall import Firewall, Plan
from mailward.fencing.node.lock import held
from mailward.fencing.node.memory import CLOSED, OPEN, Known, Memory, PortMap, Record
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.token import Token

_HAND_LOCK_S = 10.0


class Obeyed(NamedTuple):
    """What is now remembered, and whether it will survive a reboot."""

    record: Record
    persisted: bool


class Orders:
    """Carries out orders on one node. `end_sessions` is called with each plan that was applied."""

    def __init__(
        self,
        config: NodeConfig,
        memory: Memory,
        choose: Callable[[], Firewall],
        end_sessions: Callable[[Plan], None],
    ) -> None:
        self._config = config
        self._memory = memory
        self._choose = choose
        self._end_sessions = end_sessions

    def ports(self, token: Token, ports: PortMap, deadline: Deadline) -> Obeyed:
        """Obey a whole map, or raise `Refused`."""
        check_map(ports, self._config)
        with held(self._config.run_dir, deadline):
            known = self._judge(token, deadline)
            record = known.record._replace(
                revision=known.record.revision + 1, store=token.store, token=token, ports=ports, forced=None
            )
            before = known.record.ports
            if known.damage and before is None:  # what was closed is unknown: then any open port opens
                before = dict.fromkeys(ports, CLOSED)
            return self._carry_out(record, opens=opened(before, ports, self._config), known=known)

    def claim(self, token: Token, deadline: Deadline) -> Obeyed:
        """Remember a higher token and change nothing else."""
        with held(self._config.run_dir, deadline):
            known = self._judge(token, deadline)
            record = known.record._replace(revision=known.record.revision + 1, store=token.store, token=token)
            in_run = self._memory.keep_in_run(record)
            on_disk = self._memory.keep_on_disk(record)
            if in_run and on_disk:
                raise Refused(refusal.NOT_PERSISTED, f"the token can be kept nowhere: {on_disk}; {in_run}")
            return Obeyed(record, persisted=not on_disk)

    def by_hand(self, state: str, reason: str) -> Obeyed:
        """Root's own word: every port `open` or `closed`, whatever the token, as far as it can be kept."""
        with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
            known = self._memory.read()
            ports: PortMap = dict.fromkeys(self._config.services, state)
            record = known.record._replace(
                revision=known.record.revision + 1, ports=ports, forced=reason if state == OPEN else None
            )
            if known.damage:  # without the true token the record would make an old order valid again
                self._apply(record)
                return Obeyed(record, persisted=False)
            self._memory.keep_in_run(record)
            self._apply(record)
            return Obeyed(record, persisted=not self._memory.keep_on_disk(record))

    def restore(self) -> Obeyed | None:
        """Give the kernel the remembered map, as at boot. None if there is none: all is left open."""
        with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
            known = self._memory.read()
            if known.damage:
                raise Refused(refusal.DAMAGED, f"{known.damage}; the ports are left as they are")
            if known.record.ports is None:
                return None
            self._apply(known.record)
            return Obeyed(known.record, persisted=True)

    def adopt(self, store: str) -> Obeyed:
        """Belong to another store from now on; its first token, whatever it is, will be the highest."""
        with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
            known = self._memory.read()
            record = known.record._replace(revision=known.record.revision + 1, store=store, token=None)
            problem = self._memory.replace(record)
            if problem:
                raise Refused(refusal.NOT_PERSISTED, problem)
            return Obeyed(record, persisted=True)

    def _judge(self, token: Token, deadline: Deadline) -> Known:
        """What is known, if the token is to be obeyed."""
        known = self._memory.read()
        record = known.record
        if record.store is not None and record.store != token.store:
            raise Refused(
                refusal.FOREIGN,
                f"{token} is of store {token.store}, this node belongs to {record.store}"
                f" (root can change that here: mailward-node adopt {token.store} --force)",
            )
        if record.token is not None and not token.is_above(record.token):
            raise Refused(refusal.STALE, f"{token} is not above {record.token}, which has been obeyed")
        if deadline.passed():
            raise Refused(refusal.LATE, "the request took too long; nothing was done")
        return known

    def _carry_out(self, record: Record, opens: bool, known: Known) -> Obeyed:
        if not opens:
            self._memory.keep_in_run(record)
            try:
                self._apply(record)
            finally:
                on_disk = self._memory.keep_on_disk(record)
            return Obeyed(record, persisted=not on_disk)
        if known.damage:
            raise Refused(
                refusal.DAMAGED,
                f"{known.damage}; nothing is opened until a closing order or a claim with a higher token"
                " has replaced it",
            )
        on_disk = self._memory.keep_on_disk(record)
        if on_disk:
            raise Refused(refusal.NOT_PERSISTED, f"not opened, since it could not be remembered: {on_disk}")
        self._memory.keep_in_run(record)
        self._apply(record)
        return Obeyed(record, persisted=True)

    def _apply(self, record: Record) -> None:
        plan = plan_of(record.ports, self._config)
        firewall = self._choose()
        problem = firewall.apply(plan)
        if problem:
            raise Refused(refusal.FIREWALL, problem)
        self._end_sessions(plan)


def check_map(ports: PortMap, config: NodeConfig) -> None:
    """A map names every service of this node and no other, each open or closed."""
    for service in sorted(ports):
        if service not in config.services:
            known = ", ".join(sorted(config.services))
            raise Refused(refusal.UNKNOWN_SERVICE, f"no service {service!r} on this node; it has {known}")
        if isinstance(ports[service], dict):
            raise Refused(refusal.BAD_REQUEST, f"{service}: detour is not supported by this helper")
    missing = sorted(set(config.services) - set(ports))
    if missing:
        raise Refused(refusal.BAD_REQUEST, f"the map must name every service; missing: {', '.join(missing)}")


def state_of(service: str, ports: PortMap | None) -> str:
    """A service's recorded state. One the record does not name yet (it was configured since) is closed
    where every named one is, else open."""
    if not ports:
        return OPEN
    default = CLOSED if all(state == CLOSED for state in ports.values()) else OPEN
    return CLOSED if ports.get(service, default) == CLOSED else OPEN


def opened(before: PortMap | None, after: PortMap, config: NodeConfig) -> bool:
    """Whether `after` opens what was not open."""
    return any(after[name] != CLOSED and state_of(name, before) == CLOSED for name in config.services)


def plan_of(ports: PortMap | None, config: NodeConfig) -> Plan:
    closed = [port for service, port in config.services.items() if state_of(service, ports) == CLOSED]
    return Plan(tuple(sorted(closed)), config.peers)
