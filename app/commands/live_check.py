"""`mailward config check FILE --live`: every connection the configuration names, tried once.

Nothing is changed anywhere: services are probed as the daemon does, helpers asked for their status on each
way, power switches whether their options are right and what they read, replication measured, DNS targets read
and their servers asked. Each answer is one line with what to do.
"""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mailward.app import ladders
from mailward.app.certificates import Certificates, Lasting
from mailward.app.compose import DnsPart, Parts, build
from mailward.app.peering import may_ever_act, observer_of
from mailward.app.stores import store_id_of
from mailward.app.zookeeper import beside_of, rights_of, servers_of
from mailward.configs import effective
from mailward.configs.schema import Config
from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.letters import ZooKeeperLetters
from mailward.controller.coordination.zookeeper.making import differing
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.fencing.agent.device import Device
from mailward.fencing.ask import AskedHelper
from mailward.fencing.local import COMMAND, LocalHelper
from mailward.health.probe import run_probe
from mailward.health.target import Target
from mailward.model.dns import ReadFailure, Unread
from mailward.model.errors import StoreError
from mailward.model.fencing import CLOSED, NodeFacts, Power
from mailward.model.health import FailureKind, ProbeResult
from mailward.model.policy import Deployment
from mailward.model.ports import Clock, Helper
from mailward.replication.sources.dovecot23 import Dovecot23Source

LIMIT_S = 20.0
AT_ONCE = 16
NFTABLES = "nftables"
"""The firewall that knows leases, as the helper names it."""
NOBODY = "0" * 8

Note = Callable[[NodeFacts], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """One connection: what was tried, whether it works, and what came of it. `closed`: it is refused to
    clients, as its helper was ordered."""

    what: str
    works: bool
    detail: str
    closed: bool = False


async def try_all(config: Config, clock: Clock) -> tuple[Tried, ...]:
    """Try everything, side by side, each within `LIMIT_S`; in the order of the configuration."""
    store_id, store = await _store(config)
    parts = build(config, store_id, clock)
    slots = asyncio.Semaphore(AT_ONCE)
    try:
        hosts = Hosts()
        tries = [_bounded(what, trying, slots) for what, trying in _tries(config, parts, store_id, hosts)]
        tried, through_store = await asyncio.gather(*tries), await _through_store(config, store_id, hosts)
        own = [_certificate(each, clock.now().wall_s) for each in Certificates(config).lasting()]
        nodes = *tried, *_nobody_serves(config, tried)
        return (*nodes, *own, store, *through_store, *hosts.compared(), *await _rights(config, store_id))
    finally:
        await parts.close()


class Hosts:
    """Which host each node's helper says it runs on, by the way it was asked: `observers[].node` and the
    node's addresses may mean different ones, and then one is closed for the other."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, NodeFacts]] = {}

    def note(self, node: str, way: str) -> Note:
        return partial(self._said.setdefault(node, {}).__setitem__, way)

    def compared(self) -> tuple[Tried, ...]:
        """Each node that answered on more than one way."""
        return tuple(_compared(node, said) for node, said in self._said.items() if len(said) > 1)


def _compared(node: str, said: Mapping[str, NodeFacts]) -> Tried:
    """A boot is a host's own; containers share it, and differ by their names."""
    what, found = f"{node} on every way", {(facts.hostname, facts.boot_id) for facts in said.values()}
    if len(found) == 1:
        return Tried(what, True, f"the same host: {next(iter(found))[0]}")
    told = "; ".join(
        f"{way} answers {facts.hostname} (boot {facts.boot_id[:8]})" for way, facts in sorted(said.items())
    )
    return Tried(what, False, f"{told}: observers[].node or the addresses of {node} name another host")


def _tries(
    config: Config, parts: Parts, store_id: str, hosts: Hosts
) -> Sequence[tuple[str, Awaitable[Tried]]]:
    found: list[tuple[str, Awaitable[Tried]]] = []
    ours = observer_of(config) if beside_of(config) else ""
    for node in parts.watched:
        for target in node.targets:
            what = f"{node.name} {target.service}"
            helper = node.helper if config.deployment is Deployment.CLUSTER else None
            found.append((what, _probe(what, target, _port(config, target), helper)))
        if node.helper is not None:
            what = f"{node.name} helper"
            one_serves, leased = config.deployment is Deployment.CLUSTER, config.policy.lease_s is not None
            asked = _helper(
                what, node.helper, set(config.services), boots_closed=one_serves, leased=leased,
                note=hosts.note(node.name, "over SSH"),
            )  # fmt: skip
            found.append((what, asked))
        if beside_of(config).get(node.name) == ours:
            what = f"{node.name} helper, from beside it"
            found.append(
                (what, _from_beside(what, set(config.services), hosts.note(node.name, "from beside")))
            )
        if node.name in parts.devices:
            what = f"{node.name} power"
            found.append((what, _power(what, parts.devices[node.name])))
    for name, source in parts.lag_sources.items():
        found.append((f"{name} replication", _lag(f"{name} replication", source)))
    for name, part in parts.dns.items():
        if part.server is None:
            found.append((f"DNS target {name}", _dns(f"DNS target {name}", config, part, store_id)))
    return found


async def _bounded(what: str, trying: Awaitable[Tried], slots: asyncio.Semaphore) -> Tried:
    try:
        async with slots, asyncio.timeout(LIMIT_S):
            return await trying
    except TimeoutError:
        return Tried(what, False, f"no answer within {LIMIT_S:g} s")


def _port(config: Config, target: Target) -> int:
    return effective.port_of(config, target.service, target.node)


async def _probe(what: str, target: Target, port: int, helper: Helper | None = None) -> Tried:
    """The way clients go. Where that is refused, its `helper` is asked whether it is to be, as on a standby;
    then the service is probed behind its closed port."""
    result = await run_probe(target.settings, target.direct, target.tls, target.pace.limits)
    failure = result.failure
    if failure is None:
        return Tried(what, True, f"port {port}: {_told(result)}")
    tried = Tried(what, False, f"port {port}: {failure}")
    if helper is None or target.behind is None or failure.kind is not FailureKind.REFUSED:
        return tried
    facts = await helper.status()
    if not isinstance(facts, NodeFacts) or facts.ports.get(target.service) != CLOSED or not facts.applied:
        return tried
    if facts.stopped:
        return Tried(what, True, f"port {port}: closed and stopped as ordered", closed=True)
    result = await run_probe(target.settings, target.behind, target.tls, target.pace.behind_limits)
    told = f"port {port}: closed as ordered; behind it {result.failure or _told(result)}"
    return Tried(what, result.failure is None, told, closed=True)


def _told(result: ProbeResult) -> str:
    told = [f"{result.seconds * 1000:.0f} ms"]
    if result.answered_by:
        told.append(f"answered by {result.answered_by}")
    if result.certificate is not None:
        told.append(f"certificate for {result.certificate.days_left:.0f} days")
    return ", ".join(told)


def _nobody_serves(config: Config, tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """What is closed on a standby is not to be closed on every node."""
    closed = {each.what for each in tried if each.closed}
    return tuple(
        Tried(f"{service} anywhere", False, "closed as ordered on every node: nobody serves")
        for service in config.services
        if closed.issuperset(f"{node} {service}" for node in config.nodes)
    )


async def _helper(
    what: str, helper: Helper, services: set[str], *, boots_closed: bool = False, leased: bool = False,
    note: Note | None = None,
) -> Tried:  # fmt: skip
    """`boots_closed`: it has to open nothing by itself, as a node of which another may take the place;
    `leased`: its firewall has to know leases. `note` is told what it says."""
    facts = await helper.status()
    if not isinstance(facts, NodeFacts):
        return Tried(what, False, facts)
    if note is not None:
        note(facts)
    missing = sorted(services - set(facts.ports))
    if missing:
        return Tried(
            what, False, f"its node.json does not list {', '.join(missing)}; it would refuse every order"
        )
    unread = sorted(path for path, space in facts.paths.items() if space.free_bytes is None)
    if unread:
        return Tried(what, False, f"it cannot read the free space of {', '.join(unread)}")
    if boots_closed and not facts.boots_closed:
        return Tried(what, False, ladders.OPENS_AT_BOOT if facts.boot else ladders.BOOT_UNTOLD)
    if leased and facts.firewall != NFTABLES:
        found = facts.firewall or "none that is told"
        return Tried(what, False, f"policy.lease_s needs {NFTABLES} on the node, its firewall is {found}")
    token = f"obeys {facts.token}" if facts.token else "has obeyed nobody yet"
    return Tried(what, True, f"{facts.hostname} answers; it {token}{_lease(facts)}")


async def _from_beside(what: str, services: set[str], note: Note) -> Tried:
    """As the daemon beside it starts it, if this is typed as its user."""
    helper = LocalHelper()
    try:
        tried = await _helper(what, helper, services, note=note)
    finally:
        await helper.close()
    if tried.works:
        return tried
    return replace(tried, detail=f"{tried.detail} (as {getpass.getuser()}, by {' '.join(COMMAND)})")


def _lease(facts: NodeFacts) -> str:
    if facts.lease_s is None:
        return ""
    left = "unknown" if facts.lease_left_s is None else f"{facts.lease_left_s:g} s"
    return f"; its ports are leased for {facts.lease_s:g} s, {left} left"


async def _power(what: str, device: Device) -> Tried:
    reading = await device.read()
    if reading.power is Power.UNKNOWN:
        return Tried(what, False, reading.detail)
    return Tried(what, True, f"{device.program} reads {reading.power}; its options are right")


async def _lag(what: str, source: Dovecot23Source) -> Tried:
    lags = await source.measure()
    told = "; ".join(
        f"to {lag.target}: {lag.detail or lag.confidence.value}"
        if lag.seconds is None
        else f"to {lag.target}: {lag.seconds:.0f} s behind, {lag.mailboxes} mailboxes wait"
        for lag in lags
    )
    # One look cannot prove a replicator that has just been met; only silence is a mistake to mend.
    return Tried(what, source.answered, told)


async def _dns(what: str, config: Config, part: DnsPart, ours: str) -> Tried:
    name = part.driver.name
    endpoints = [e for e in config.endpoints if name in effective.targets_of(config, e)]
    view = await part.driver.read([(f"{e}.", kind) for e in endpoints for kind in ("A", "AAAA")])
    if isinstance(view, Unread) and view.failure is not ReadFailure.FOREIGN:
        return Tried(what, False, view.detail)
    if isinstance(view, Unread):
        foreign = view.detail if ours != NOBODY else "whose record it holds cannot be told: see the store"
        return Tried(what, True, f"signed read works; {foreign}")
    now = ", ".join(str(rrset) for rrset in view.rrsets) or "no address yet"
    silent = [
        f"{check.server}: {check.detail}"
        for check in await part.publisher.verify(view.rrsets)
        if not check.agrees
    ]
    if silent:
        return Tried(what, False, "not every server agrees with the primary: " + "; ".join(silent))
    return Tried(what, True, f"signed read works, all servers agree; it holds {now}")


def _certificate(own: Lasting, now_unix_s: float) -> Tried:
    told, left = own.told(now_unix_s), own.days_left(now_unix_s)
    return Tried(f"ZooKeeper {own.key}", not told, told or f"{own.file} has {left:.0f} days left")


async def _store(config: Config) -> tuple[str, Tried]:
    """Whose tokens are ours: before there is a store, nobody's."""
    try:
        found, where = await store_id_of(config)
    except StoreError as error:
        return NOBODY, Tried("store", False, str(error))
    if found is None:
        return NOBODY, Tried("store", False, f"{where} holds none yet: mailward state init")
    return found, Tried("store", True, f"{where} holds store {found}")


async def _through_store(config: Config, store_id: str, hosts: Hosts) -> Sequence[Tried]:
    """Each helper by way of the daemon beside it, as who leads asks it."""
    zookeeper, nodes = config.coordination.zookeeper, beside_of(config)
    if zookeeper is None or store_id == NOBODY or not nodes or not may_ever_act(config):
        return ()
    try:
        async with connected(servers_of(zookeeper)) as client:
            letters = ZooKeeperLetters(client, Tree(config.cluster), rights_of(config))
            helpers = {node: AskedHelper(letters, node) for node in nodes}
            asking = [
                _helper(
                    f"{node} helper, asked through {nodes[node]}",
                    helper,
                    set(config.services),
                    note=hosts.note(node, f"through {nodes[node]}"),
                )
                for node, helper in helpers.items()
            ]
            found = await asyncio.gather(*asking)
            for helper in helpers.values():
                await helper.close()
            return found
    except StoreError as error:
        return (Tried("helpers, asked through daemons", False, str(error)),)


async def _rights(config: Config, store_id: str) -> Sequence[Tried]:
    """Whether everybody may do in ZooKeeper what the configuration says, and nothing else."""
    if config.coordination.zookeeper is None or store_id == NOBODY:
        return ()
    what = "rights in ZooKeeper"
    try:
        async with connected(servers_of(config.coordination.zookeeper)) as client:
            other = await differing(client, config.cluster, rights_of(config))
    except StoreError as error:
        return (Tried(what, False, str(error)),)
    if not other:
        return (Tried(what, True, "as the configuration says"),)
    told = f"not as the configuration says at {', '.join(other)}: mailward zookeeper grant"
    return (Tried(what, False, told),)
