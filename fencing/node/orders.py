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
- A renewal names the highest token, an order's or a claim's, and is obeyed while the lease runs, in time
  with all that the firewall has to do. What has lapsed is opened by a new order only: another node may have
  been promoted meanwhile. For the same reason a leased map comes back refused after a reboot, and root's own
  hand is under no lease.
- Closing waits for nothing: what else is wanted then (see `work`) comes afterwards, and the answer says
  what became of it. Before opening comes what has to: until then the token alone is remembered, and the
  ports open only if no later order has been obeyed meanwhile.

Root's own hand is not an order: it needs no token and leaves the highest as it is, so the
controller's next order replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mailward.fencing.node import refusal
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.firewall import Firewall, Plan, Shown
from mailward.fencing.node.lock import held
from mailward.fencing.node.memory import CLOSED, OPEN, Known, Memory, PortMap, Record, height
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.terms import DEMOTE, PLAIN, PROMOTE, Terms
from mailward.fencing.node.token import Token
from mailward.fencing.node.work import NOTHING, Done, Work
from mailward.fencing.node.writers import Writers

_HAND_LOCK_S = 10.0


class Obeyed(NamedTuple):
    """What is now remembered, and whether it will survive a reboot; `lapsed`: what it has open is refused,
    since it was leased; `held`: it is, since the node has booted."""

    record: Record
    persisted: bool
    lapsed: bool = False
    held: bool = False
    done: Done = NOTHING


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
        self._work = Work(config)

    def ports(self, token: Token, ports: PortMap, deadline: Deadline, terms: Terms = PLAIN) -> Obeyed:
        """Obey a whole map, or raise `Refused`."""
        check_map(ports, self._config)
        check_terms(ports, terms)
        with held(self._config.run_dir, deadline):
            known = self._judge(token, deadline)
            record = _ordered(known.record, token, ports, terms)
            if plan_of(record, self._config).held and not self._choose().leases:
                raise Refused(refusal.UNSUPPORTED, "a lease needs nftables, which does not work on this node")
            start = known.record.stop and not terms.stop
            promotes = terms.hook == PROMOTE
            if not start and not promotes:
                obeyed = self._carry_out(record, opens=self._opens(known, ports), known=known)
            else:
                self._check_closes_nothing(known.record, ports)
                claimed = _claimed(known.record, token)
                self._keep_before_opening(claimed, known)
        if not start and not promotes:
            return self._follow(obeyed, terms)
        return self._open_prepared(claimed, ports, terms, start=start)

    def _open_prepared(self, claimed: Record, ports: PortMap, terms: Terms, start: bool) -> Obeyed:
        """The rest of an order of which the token alone is remembered yet."""
        assert claimed.token is not None
        with self._work.alone(lambda: self._check_latest(claimed)):
            done = self._work.prepare(terms.hook, start)
            with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
                known = self._check_latest(claimed)
                record = _ordered(known.record, claimed.token, ports, terms)
                obeyed = self._carry_out(record, opens=self._opens(known, ports), known=known)
        return obeyed._replace(done=done)

    def _follow(self, obeyed: Obeyed, terms: Terms) -> Obeyed:
        """What an order wants once its ports are closed. That they are stands, whatever becomes of it."""
        if not terms.stop and not terms.hook:
            return obeyed
        try:
            with self._work.alone(lambda: self._check_latest(obeyed.record)):
                return obeyed._replace(done=self._work.follow(terms.stop, terms.hook))
        except Refused as error:
            if error.code != refusal.BUSY:
                raise
            return obeyed._replace(done=self._work.not_followed(terms.stop, terms.hook))

    def _check_latest(self, record: Record) -> Known:
        """What is known, if since `record` no order has been obeyed and root has done nothing by hand."""
        known = self._memory.read()
        adopted = known.record.store not in (None, record.store)
        if adopted or height(known.record) > height(record):
            by_hand = adopted or known.record.token == record.token
            later = "what root did by hand" if by_hand else known.record.token
            raise Refused(refusal.STALE, f"{record.token} was overtaken by {later}")
        return known

    def _check_closes_nothing(self, before: Record, ports: PortMap) -> None:
        """Closing waits for no work, so what has to be worked at first closes nothing."""
        closing = [name for name in sorted(ports) if ports[name] == CLOSED]
        open_yet = [name for name in closing if state_of(name, before.ports) == OPEN]
        if open_yet:
            raise Refused(
                refusal.BAD_REQUEST, f"{PROMOTE}: {', '.join(open_yet)} must be closed by an order before"
            )

    def claim(self, token: Token, deadline: Deadline) -> Obeyed:
        """Remember a higher token and change nothing else. A node that is closed since it booted, or is about
        to be, stays so: nothing was ordered since, and /run says nothing of this boot yet."""
        with held(self._config.run_dir, deadline):
            known = self._judge(token, deadline)
            record = _claimed(known.record, token)
            waits = self._is_closed_since_it_booted(known)
            in_run = "nothing was ordered since it booted" if waits else self._memory.keep_in_run(record)
            on_disk = self._memory.keep_on_disk(record)
            if in_run and on_disk:
                raise Refused(refusal.NOT_PERSISTED, f"the token can be kept nowhere: {on_disk}; {in_run}")
            return Obeyed(record, persisted=not on_disk)

    def renew(self, token: Token, deadline: Deadline) -> Obeyed:
        """Let the lease of what is open begin anew, as long as it runs."""
        with held(self._config.run_dir, deadline):
            known = self._memory.read()
            record = known.record
            self._judge_renewal(token, known, deadline)
            plan = plan_of(record, self._config)
            if not plan.held:
                raise Refused(refusal.NOT_LEASED, "no port is open under a lease")
            firewall = self._choose()
            _check_late(deadline)  # whoever counts on the end of the lease knows no later moment
            problem = firewall.renew(plan, deadline.left_s())
            if not problem:
                return Obeyed(record, persisted=True)
            if not firewall.leases:
                raise Refused(refusal.UNSUPPORTED, problem)
            shown = firewall.shown()
            if shown is not None and is_shown(shown, plan) and not shown.left_s:
                raise Refused(refusal.LAPSED, "the lease has lapsed; only a new order opens the ports again")
            raise Refused(refusal.FIREWALL, problem)

    def by_hand(self, state: str, reason: str) -> Obeyed:
        """Root's own word: every port `open` or `closed`, whatever the token, as far as it can be kept."""
        with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
            known = self._memory.read()
            ports: PortMap = dict.fromkeys(self._config.services, state)
            record = known.record._replace(
                revision=known.record.revision + 1,
                ports=ports,
                forced=reason if state == OPEN else None,
                lease_s=None,
                stop=known.record.stop and state != OPEN,
            )
            if known.damage:  # without the true token the record would make an old order valid again
                self._apply(record)
                return Obeyed(record, persisted=False)
            self._memory.keep_in_run(record)
            self._apply(record)
            obeyed = Obeyed(record, persisted=not self._memory.keep_on_disk(record))
        if not known.record.stop or record.stop:
            return obeyed
        try:
            with self._work.alone(lambda: None):
                return obeyed._replace(done=self._work.prepare(None, start=True))
        except Refused:  # another order works at them
            return obeyed._replace(done=Done(Writers("started", False, {})))

    def restore(self) -> Obeyed | None:
        """Give the kernel the remembered map, as at boot: what is leased as lapsed, unless the kernel shows
        the map with a lease that runs. Writers that were stopped are, again. None if there is no map: all is
        left open. Where the node is to boot closed, and has ever obeyed, all is closed until the next
        order."""
        with held(self._config.run_dir, Deadline(_HAND_LOCK_S)):
            known = self._memory.read()
            closes = self._may_boot_closed(known)
            if self._is_closed_since_it_booted(known):
                all_closed: PortMap = dict.fromkeys(self._config.services, CLOSED)
                self._apply(known.record._replace(ports=all_closed, lease_s=None))
                if not known.damage:
                    obeyed = Obeyed(known.record, persisted=True, held=True)
                    return self._follow(obeyed, Terms(stop=known.record.stop))
            if known.damage:
                how = "closed until the next order" if closes else "left as they are"
                raise Refused(refusal.DAMAGED, f"{known.damage}; the ports are {how}")
            if known.record.ports is None:
                return None
            if self._lease_runs(known.record):
                return Obeyed(known.record, persisted=True)
            lapsed = bool(plan_of(known.record, self._config).held)
            self._apply(known.record, lapsed=lapsed)
        obeyed = Obeyed(known.record, persisted=True, lapsed=lapsed)
        return self._follow(obeyed, Terms(stop=known.record.stop))

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
        _check_store(token, record)
        if record.token is not None and not token.is_above(record.token):
            raise Refused(refusal.STALE, f"{token} is not above {record.token}, which has been obeyed")
        _check_late(deadline)
        return known

    def _may_boot_closed(self, known: Known) -> bool:
        return self._config.boot == CLOSED and bool(known.damage or known.record.token)

    def _is_closed_since_it_booted(self, known: Known) -> bool:
        """Or will be, by `restore`: until then whoever claims it must not make it look as ordered."""
        return self._may_boot_closed(known) and self._memory.is_of_another_boot()

    def _judge_renewal(self, token: Token, known: Known, deadline: Deadline) -> None:
        highest = known.record.token
        _check_store(token, known.record)
        if highest is None or token.is_above(highest):
            raise Refused(refusal.UNORDERED, f"{token} was never obeyed here; the highest is {highest}")
        if token != highest:
            raise Refused(refusal.STALE, f"{token} is below {highest}, which has been obeyed")
        if known.damage:
            raise Refused(refusal.DAMAGED, f"{known.damage}; nothing is renewed until that has been replaced")
        _check_late(deadline)

    def _opens(self, known: Known, ports: PortMap) -> bool:
        """Whether the map opens what is not open, or may not be."""
        before, record = known.record.ports, known.record
        unknown = known.damage and before is None  # then any open port opens
        if unknown or (record.lease_s is not None and not self._lease_runs(record)):
            before = dict.fromkeys(ports, CLOSED)
        return opened(before, ports, self._config)

    def _lease_runs(self, record: Record) -> bool:
        """Whether the kernel shows the map, and more than a second of its lease is left."""
        plan = plan_of(record, self._config)
        shown = self._choose().shown() if plan.held else None
        return shown is not None and is_shown(shown, plan) and bool(shown.left_s)

    def _carry_out(self, record: Record, opens: bool, known: Known) -> Obeyed:
        if opens:
            self._keep_before_opening(record, known)
            self._apply(record)
            return Obeyed(record, persisted=True)
        self._memory.keep_in_run(record)
        try:
            self._apply(record)
        finally:
            on_disk = self._memory.keep_on_disk(record)
        return Obeyed(record, persisted=not on_disk)

    def _keep_before_opening(self, record: Record, known: Known) -> None:
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

    def _apply(self, record: Record, lapsed: bool = False) -> None:
        plan = plan_of(record, self._config)
        if lapsed:
            plan = plan._replace(lease_s=None)
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


def check_terms(ports: PortMap, terms: Terms) -> None:
    """Writers are stopped, and nodes demoted, where all client ports are closed, and nowhere else."""
    closed = all(state == CLOSED for state in ports.values())
    if terms.stop and not closed:
        raise Refused(refusal.BAD_REQUEST, "stop: writers are stopped only where every port is closed")
    if terms.hook == DEMOTE and not closed:
        raise Refused(refusal.BAD_REQUEST, f"{DEMOTE}: that is done only where every port is closed")
    if terms.hook == PROMOTE and terms.stop:
        raise Refused(refusal.BAD_REQUEST, f"{PROMOTE}: not where writers are to be stopped")


def _ordered(before: Record, token: Token, ports: PortMap, terms: Terms) -> Record:
    claimed = _claimed(before, token)
    return claimed._replace(ports=ports, forced=None, lease_s=terms.lease_s, stop=terms.stop)


def _claimed(before: Record, token: Token) -> Record:
    return before._replace(revision=before.revision + 1, store=token.store, token=token)


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


def plan_of(record: Record, config: NodeConfig) -> Plan:
    """What the record wants, as if its lease began now."""
    ports = config.services.items()
    closed = {port for service, port in ports if state_of(service, record.ports) == CLOSED}
    held = {port for _, port in ports} - closed if record.lease_s is not None else set()
    return Plan(tuple(sorted(closed)), config.peers, tuple(sorted(held)), record.lease_s)


def is_shown(shown: Shown | None, plan: Plan) -> bool:
    """Whether the kernel has the plan's rules, the lease apart."""
    return shown is not None and (shown.closed, shown.held) == (frozenset(plan.closed), frozenset(plan.held))


def _check_store(token: Token, record: Record) -> None:
    if record.store is not None and record.store != token.store:
        raise Refused(
            refusal.FOREIGN,
            f"{token} is of store {token.store}, this node belongs to {record.store}"
            f" (root can change that here: mailward-node adopt {token.store} --force)",
        )


def _check_late(deadline: Deadline) -> None:
    if deadline.passed():
        raise Refused(refusal.LATE, "the request took too long; nothing was done")
