"""From the configuration to the parts of a daemon: every connection, driver, rung and power switch it names.

Only here do the folders meet: helpers of fencing/ serve as fact sources and as the way behind closed
ports for health/, publishers of dns/ and fences of fencing/ become the executor's ports. Nothing is
opened yet, but files that must be readable (CAs, the embedded zone) are read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailward.app.elsewhere import Others, Place, look_at
from mailward.app.peering import observer_of
from mailward.app.zookeeper import beside_of
from mailward.configs import effective
from mailward.configs.policy import policy_of
from mailward.configs.power import Agent as AgentSection
from mailward.configs.schema import Config
from mailward.configs.services import Probe
from mailward.configs.targets import Embedded, Rfc2136
from mailward.controller.lease import ROUNDS
from mailward.dns.drivers.embedded import EmbeddedTarget
from mailward.dns.drivers.rfc2136 import Rfc2136Settings, Rfc2136Target
from mailward.dns.embedded.server import EmbeddedServer
from mailward.dns.embedded.zone import ZoneSettings
from mailward.dns.publication import TargetPublisher
from mailward.dns.servers import Server
from mailward.dns.verification import Verification
from mailward.fencing.agent.device import Device
from mailward.fencing.agent.program import Agent
from mailward.fencing.ask import Answering, AskedHelper
from mailward.fencing.helper import NodeHelper
from mailward.fencing.local import LocalHelper, LocalTransport
from mailward.fencing.near import NearFirst
from mailward.fencing.rung import HelperRung
from mailward.fencing.ssh import SshHelper, SshTarget
from mailward.fencing.verification import look
from mailward.health.detector import Thresholds
from mailward.health.dialogues import Account, ImapSettings, Security, SmtpSettings
from mailward.health.observer import WatchedNode
from mailward.health.probe import Limits
from mailward.health.streams import ByteStream, StreamFailed, TcpConnector, TcpStream
from mailward.health.target import Pace, Target
from mailward.health.tls import TlsClient, client_context
from mailward.model.errors import ConfigError
from mailward.model.health import FailureKind
from mailward.model.policy import Policy
from mailward.model.ports import Clock, Letters, Renewer
from mailward.replication.sources.doveadm import Doveadm
from mailward.replication.sources.dovecot23 import Dovecot23Source
from mailward.replication.sources.http_api import HttpApi
from mailward.replication.sources.runner import MAX_ANSWER_BYTES, SshAccount, SshRunner
from mailward.replication.sources.ssh import Ssh


@dataclass(frozen=True, slots=True)
class DnsPart:
    """One DNS target: its driver, its pipeline, and its server where the daemon answers itself."""

    driver: Rfc2136Target | EmbeddedTarget
    publisher: TargetPublisher
    server: EmbeddedServer | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A node's helper as it is reached through the store, and the fence by it."""

    helper: NodeHelper
    fence: HelperRung


@dataclass(frozen=True, slots=True)
class Beside:
    """The node that we run beside, its helper on this host, and who answers for it."""

    node: str
    helper: LocalHelper
    answering: Answering


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the daemon runs with, by the names of the configuration."""

    policy: Policy
    dns: dict[str, DnsPart]
    helpers: dict[str, NodeHelper]
    fences: dict[str, HelperRung]
    asked: dict[str, Asked]
    beside: Beside | None
    devices: dict[str, Device]
    runners: dict[str, SshRunner]
    lag_sources: dict[str, Dovecot23Source]
    watched: tuple[WatchedNode, ...]

    def renewer(self, node: str, lease_s: float) -> Renewer:
        """The way in which the lease of the node that we run beside is renewed."""
        if self.beside is None or self.beside.node != node:
            return self.helpers[node]
        return NearFirst(self.beside.helper, self.helpers[node], lease_s / (2 * ROUNDS))

    async def close(self) -> None:
        for part in self.dns.values():
            if part.server is not None:
                await part.server.close()
            await part.driver.close()
        for helper in (*self.helpers.values(), *(each.helper for each in self.asked.values())):
            await helper.close()
        if self.beside is not None:
            await self.beside.helper.close()
        for runner in self.runners.values():
            await runner.close()


def build(
    config: Config,
    store_id: str,
    clock: Clock,
    others: Others | None = None,
    devices: Mapping[str, Device] | None = None,
    letters: Letters | None = None,
) -> Parts:
    """ConfigError where the parts cannot be made of it. `others` are the other daemons, None where there are
    none; `devices` the power switches, where they have been made already; `letters` what the store carries
    between daemons, if it does."""
    helpers = {name: helper for name in config.nodes if (helper := _helper(config, name)) is not None}
    runners = runners_of(config)
    beside = _beside(config, letters) if letters is not None else None
    near = helpers if beside is None else {**helpers, beside.node: beside.helper}
    return Parts(
        policy=policy_of(config),
        dns={name: _dns_part(config, name, store_id) for name in config.dns},
        helpers=helpers,
        fences={name: _fence(config, name, helper, others) for name, helper in helpers.items()},
        asked=_asked(config, letters, beside, others) if letters is not None else {},
        beside=beside,
        devices=dict(devices_of(config) if devices is None else devices),
        runners=runners,
        lag_sources=_lag_sources(config, clock, runners),
        watched=tuple(
            WatchedNode(name, targets_of(config, name, near.get(name)), near.get(name))
            for name in config.nodes
        ),
    )


# helpers and fences


def _helper(config: Config, node: str) -> NodeHelper | None:
    ssh = effective.ssh_of(config, node)
    if ssh is None or ssh.address is None:
        return None
    return SshHelper(SshTarget(ssh.address, ssh.user, ssh.key_file, ssh.known_hosts_file, ssh.port))


def _beside(config: Config, letters: Letters) -> Beside | None:
    ours = observer_of(config)
    for node, observer in beside_of(config).items():
        if observer == ours:
            return Beside(node, LocalHelper(), Answering(letters, node, LocalTransport()))
    return None


def _asked(
    config: Config, letters: Letters, beside: Beside | None, others: Others | None
) -> dict[str, Asked]:
    """Who runs beside a node itself asks nobody."""
    found = {}
    for node in beside_of(config):
        ours = beside is not None and node == beside.node
        helper = LocalHelper() if ours else AskedHelper(letters, node)
        found[node] = Asked(helper, _fence(config, node, helper, others, "through the daemon beside it"))
    return found


def _fence(config: Config, node: str, helper: NodeHelper, others: Others | None, way: str = "") -> HelperRung:
    ports = {name: effective.port_of(config, name, node) for name in config.services}
    addresses = (effective.probe_address_of(config, node),)
    timeout_s = config.policy.order_timeout_s
    seen = look if others is None else look_at(node, Place(config), others)
    return HelperRung(helper, ports, addresses, timeout_s=timeout_s, look=seen, way=way)


# power


def devices_of(config: Config) -> dict[str, Device]:
    """The power switches, by their nodes; only of a configuration whose secrets were read."""
    return {
        name: Device(name, _agent(node.agent), timeout_s=node.agent.timeout_s)
        for name, node in config.nodes.items()
        if node.agent is not None
    }


def _agent(section: AgentSection) -> Agent:
    secrets = {option: held.secret.get_secret_value() for option, held in section.secrets.items()}
    return Agent(section.program, section.options, secrets)


async def power_mistakes(devices: Mapping[str, Device]) -> tuple[str, ...]:
    """What is wrong with what the switches are told, all of it, each with its path; no device is asked."""
    found = await asyncio.gather(*(device.mistakes() for device in devices.values()))
    return tuple(text for texts in found for text in texts)


# health


class BehindConnector:
    """The way to a service behind closed client ports: through the node's helper."""

    def __init__(self, helper: NodeHelper, service: str) -> None:
        self._helper = helper
        self._service = service

    async def connect(self) -> ByteStream:
        """The service's own refusal is the service's; that the helper fails says nothing of it."""
        try:
            sock = await self._helper.connect(self._service)
        except (ConnectionRefusedError, TimeoutError):
            raise
        except OSError as error:
            raise StreamFailed(FailureKind.LOCAL, str(error)) from error
        _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=sock)
        return stream


def targets_of(config: Config, node: str, helper: NodeHelper | None) -> tuple[Target, ...]:
    """What to watch on one node."""
    address = effective.probe_address_of(config, node)
    return tuple(
        Target(
            node=node,
            service=service,
            settings=_dialogue(config, service),
            direct=TcpConnector(address, effective.port_of(config, service, node)),
            tls=_tls(config, service, node),
            behind=BehindConnector(helper, service) if helper is not None else None,
            held=config.services[service].sentinel,
            pace=pace_of(config.services[service].probe),
        )
        for service in config.services
    )


def pace_of(probe: Probe) -> Pace:
    """A service's pace as configured; what the file does not name stays as it is."""
    answer_s, work_s = probe.timeout_s, probe.work_timeout_s
    return Pace(
        probe_s=probe.interval_s,
        limits=Limits(connect_s=answer_s, answer_s=answer_s, work_s=work_s, total_s=2 * (answer_s + work_s)),
        thresholds=Thresholds(
            down_after=probe.down_after,
            up_after=probe.up_after,
            stale_s=max(12.0, 4 * probe.interval_s),
        ),
    )


def _dialogue(config: Config, service: str) -> SmtpSettings | ImapSettings:
    protocol = effective.protocol_of(config, service)
    if protocol.begins_with_tls:
        security = Security.IMPLICIT
    else:
        security = Security.STARTTLS if effective.uses_starttls(config, service) else Security.PLAIN
    canary = effective.login_of(config, service)
    account = Account(canary.user, canary.password.get_secret_value()) if canary else None
    probe = config.services[service].probe
    if protocol.speaks_imap:
        return ImapSettings(security, account, probe.mailbox)
    return SmtpSettings(security, account, probe.rcpt)


def _tls(config: Config, service: str, node: str) -> TlsClient | None:
    name = effective.tls_name_of(config, service, node)
    if name is None or _dialogue(config, service).security is Security.PLAIN:
        return None
    return TlsClient(client_context(config.tls.ca_file), name)


# replication


def runners_of(config: Config, max_answer_bytes: int = MAX_ANSWER_BYTES) -> dict[str, SshRunner]:
    """Of nodes whose doveadm is asked by SSH; the caller closes them."""
    made = ((name, _runner(config, name, max_answer_bytes)) for name in config.nodes)
    return {name: runner for name, runner in made if runner is not None}


def _runner(config: Config, node: str, max_answer_bytes: int) -> SshRunner | None:
    replication = effective.replication_of(config, node)
    if replication is None or (ssh := replication.ssh) is None or ssh.address is None:
        return None
    account = SshAccount(ssh.address, ssh.user, ssh.key_file, ssh.known_hosts_file, ssh.port)
    return SshRunner(account, max_answer_bytes=max_answer_bytes)


def _lag_sources(
    config: Config, clock: Clock, runners: Mapping[str, SshRunner]
) -> dict[str, Dovecot23Source]:
    replicating = [name for name in config.nodes if effective.replication_of(config, name) is not None]
    found = {}
    for name in replicating:
        peers = [peer for peer in replicating if peer != name]
        if len(peers) != 1:
            raise ConfigError(
                (f"nodes.{name}.replication: Dovecot 2.3 replicates between two nodes, here are "
                 f"{len(replicating)}; write `replication: none` for the others",)
            )  # fmt: skip
        found[name] = Dovecot23Source(name, peers[0], doveadm_of(config, name, runners), clock)
    return found


def doveadm_of(config: Config, node: str, runners: Mapping[str, SshRunner]) -> Doveadm:
    """How the doveadm of a node that replicates is asked."""
    return Ssh(runners[node]) if node in runners else _http_api(config, node)


def _http_api(config: Config, node: str) -> HttpApi:
    replication = effective.replication_of(config, node)
    assert replication is not None
    assert replication.doveadm is not None
    assert replication.doveadm.url is not None
    return HttpApi(replication.doveadm.url, replication.doveadm.api_key.get_secret_value())


# DNS


def _dns_part(config: Config, name: str, store_id: str) -> DnsPart:
    target = config.dns[name]
    try:
        if target.rfc2136 is not None:
            return _rfc2136(config, name, target.rfc2136, store_id)
        assert target.embedded is not None
        return _embedded(config, name, target.embedded, store_id)
    except ValueError as error:
        raise ConfigError((f"dns.{name}: {error}",)) from error


def _rfc2136(config: Config, name: str, settings: Rfc2136, store_id: str) -> DnsPart:
    primary = Server(settings.server, settings.port)
    driver = Rfc2136Target(
        Rfc2136Settings(
            name=name,
            cluster=config.cluster,
            zone=settings.zone,
            server=primary,
            key_name=settings.tsig.name,
            key_secret=settings.tsig.secret.get_secret_value(),
            key_algorithm=settings.tsig.algorithm,
            secondaries=tuple(Server(s.address, s.port) for s in settings.secondaries),
        ),
        store_id,
    )
    listed = settings.verified
    servers = None if listed is None else tuple(Server(s.address, s.port) for s in listed)
    return DnsPart(
        driver, _publisher(config, name, driver, Verification(settings.zone, primary, servers)), None
    )


def _embedded(config: Config, name: str, settings: Embedded, store_id: str) -> DnsPart:
    directory = config.coordination.local.directory
    driver = EmbeddedTarget(
        name,
        cluster=config.cluster,
        store_id=store_id,
        settings=ZoneSettings(settings.zone, settings.ns, contact=settings.contact or ""),
        path=settings.state_file or Path(directory) / f"zone-{name}.json",
    )
    listen = tuple(Server(s.address, s.port) for s in settings.listen)
    ours = Server(_reachable(listen[0].host), listen[0].port)
    publisher = _publisher(config, name, driver, Verification(settings.zone, ours, (ours,)))
    return DnsPart(driver, publisher, EmbeddedServer(lambda: driver.zone, listen))


def _reachable(address: str) -> str:
    """Where this host reaches what listens on `address`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def _publisher(
    config: Config, name: str, driver: Rfc2136Target | EmbeddedTarget, verification: Verification
) -> TargetPublisher:
    endpoints = [e for e in config.endpoints if name in effective.targets_of(config, e)]
    return TargetPublisher(
        driver,
        keys=[(endpoint, kind) for endpoint in endpoints for kind in ("A", "AAAA")],
        endpoints=endpoints,
        verification=verification,
    )
