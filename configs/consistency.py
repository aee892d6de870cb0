"""What the parts of a configuration must be to each other. Pure: each check yields its problems.

A check says in `about` which other places it looked at, so that a place already reported as broken casts
no shadow. In modules of their own: names that must exist (`references`), who a daemon is to ZooKeeper
(`identities`), DNS (`publishing`), ways to a node and its switch (`access`), `leases`, `failback`, and times
(`times`).
"""

from collections.abc import Callable, Iterator

from mailward.configs import access, effective, failback, identities, leases, publishing, references
from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.services import Protocol, Service
from mailward.configs.times import contradictions
from mailward.configs.values import shown
from mailward.model.policy import Automation, Deployment


def problems_of(config: Config, names: references.Names) -> Iterator[Problem]:
    """Everything that does not fit together."""
    yield from references.unknown_names(config, names)
    for check in CHECKS:
        yield from check(config)


def _deployment(config: Config) -> Iterator[Problem]:
    here, count = ("deployment",), len(config.nodes)
    nodes: tuple[Path, ...] = (("nodes",),)
    if not count:
        yield Problem(("nodes",), "no node is listed: write at least one, under its name")
    if config.deployment is Deployment.CLUSTER:
        if count == 1:
            yield Problem(
                here, "cluster needs two nodes or more, here is one: add a node, or write standard", nodes
            )
        yield from _cluster(config)
    elif config.deployment is Deployment.STANDARD:
        if count > 1:
            yield Problem(here, f"standard has one node, here are {count}: write hybrid", nodes)
        if config.automation is Automation.ACT:
            yield Problem(("automation",), "standard has nothing to fail over to: write observe", (here,))
    elif count == 1:
        sentence = "hybrid needs two nodes or more, here is one: add a node, or write standard"
        yield Problem(here, sentence, nodes)


def _cluster(config: Config) -> Iterator[Problem]:
    """One node serves, behind every endpoint, and the others' client ports are kept closed."""
    for name in config.nodes:
        if effective.ssh_of(config, name) is None:
            sentence = "in a cluster every node has a helper, which keeps the ports of a standby closed"
            yield Problem(("nodes", name, "helper"), sentence, (("helper",), ("deployment",)))
    for name, endpoint in config.endpoints.items():
        if endpoint.nodes is not None and set(endpoint.nodes) != set(config.nodes):
            sentence = "in a cluster every node stands behind every endpoint: leave the line out"
            yield Problem(("endpoints", name, "nodes"), sentence, (("nodes",), ("deployment",)))


CLUSTER_ONLY = (
    "takeover_after_s", "rescue_s", "demote_s", "fence_scope", "loss", "lease_s", "failback",
    "failback_window", "failback_after_s",
)  # fmt: skip
"""The rules that nothing else follows."""


def _only_of_a_cluster(config: Config) -> Iterator[Problem]:
    if config.deployment is Deployment.CLUSTER:
        return
    for name in CLUSTER_ONLY:
        if name in config.policy.model_fields_set:
            sentence = f"it is for a cluster, here is a {config.deployment}: leave the line out"
            yield Problem(("policy", name), sentence, (("deployment",),))


def _nodes(config: Config) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for name, node in config.nodes.items():
        here: Path = ("nodes", name)
        if not node.addresses:
            yield Problem((*here, "addresses"), "no address is listed: write at least one")
        for position, address in enumerate(node.addresses):
            if address in owners:
                sentence = f"{address} is already an address of {owners[address]}"
                yield Problem(
                    (*here, "addresses", position), sentence, (("nodes", owners[address], "addresses"),)
                )
            owners.setdefault(address, name)
        if node.hostname is not None:
            if node.hostname in hosts:
                sentence = f"{node.hostname} is already the name of {hosts[node.hostname]}"
                yield Problem((*here, "hostname"), sentence)
            hosts.setdefault(node.hostname, name)


def _services(config: Config) -> Iterator[Problem]:
    if not config.services:
        yield Problem(
            ("services",), "no service is listed: leave the section out for smtp, submission, imaps"
        )
    speaking = {}
    for name, service in config.services.items():
        try:
            speaking[name] = effective.protocol_of(config, name)
        except ValueError:
            sentence = f"missing: {shown(name)} says none; write one of {', '.join(Protocol)}"
            yield Problem(("services", name, "protocol"), sentence)
            continue
        yield from _probe(config, name, service, speaking[name])
    for node in config.nodes:
        taken: dict[int, str] = {}
        for name in speaking:
            port = effective.port_of(config, name, node)
            if port in taken:
                yield _same_port(config, node, name, taken[port], port)
            taken.setdefault(port, name)
            if speaking[name].begins_with_tls or effective.uses_starttls(config, name):
                yield from _certificate(config, node, name)


def _certificate(config: Config, node: str, service: str) -> Iterator[Problem]:
    """A certificate is checked against a name."""
    if effective.tls_name_of(config, service, node) is None:
        sentence = f"missing: {service} has a certificate to check, and no endpoint gives it a name here"
        yield Problem(("nodes", node, "hostname"), sentence, (("endpoints",), ("services", service)))


def _probe(config: Config, name: str, service: Service, protocol: Protocol) -> Iterator[Problem]:
    """What a protocol's probe cannot do."""
    here: Path = ("services", name, "probe")
    about: tuple[Path, ...] = (("services", name, "protocol"),)
    if service.probe.login == "canary" and config.canary is None:
        sentence = "no canary account is given: add the section `canary`, or write none"
        yield Problem((*here, "login"), sentence, (("canary",),))
    if service.probe.starttls and protocol.begins_with_tls:
        yield Problem((*here, "starttls"), f"{protocol} begins with TLS: leave the line out", about)
    if service.probe.rcpt is not None and protocol.speaks_imap:
        yield Problem((*here, "rcpt"), f"{protocol} takes no recipients: leave the line out", about)


def _same_port(config: Config, node: str, name: str, other: str, port: int) -> Problem:
    """Shown where the port of one of the two is said, else at the later service."""
    here: Path = ("services", name, "port")
    for one, two in ((name, other), (other, name)):
        if one in config.nodes[node].services:
            here, other = ("nodes", node, "services", one, "port"), two
            break
    sentence = f"port {port} is already that of {other}: each service has its own"
    return Problem(here, sentence, (("services", name), ("services", other), ("nodes", node, "services")))


def _observers(config: Config) -> Iterator[Problem]:
    names = [observer.name for observer in config.observers]
    if not names:
        yield Problem(("observers",), "no observer is listed: leave the section out for one")
    elif len(names) > 1 and config.coordination.zookeeper is None:
        sentence = (
            "the local store takes one observer: keep the one that leads, or write coordination.zookeeper"
        )
        yield Problem(("observers", 1), sentence, (("coordination",),))
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Problem(("observers", position, "name"), f"{shown(name)} stands here twice: keep one")
    addresses = [observer.address for observer in config.observers]
    for position, address in enumerate(addresses):
        if address is not None and address in addresses[:position]:
            sentence = f"{address} is already that of {names[addresses.index(address)]}"
            yield Problem(("observers", position, "address"), sentence)
    for position, observer in enumerate(config.observers):
        if observer.address is not None and config.coordination.zookeeper is None:
            sentence = "there are no other daemons with the local store: leave the line out"
            yield Problem(("observers", position, "address"), sentence, (("coordination",),))
    if names and all(observer.leader == "never" for observer in config.observers):
        yield Problem(("observers", 0, "leader"), "nobody may lead: write `leader: may` for one at least")


def _beside(config: Config) -> Iterator[Problem]:
    """One daemon beside each node."""
    there: dict[str, tuple[str, Path]] = {}
    for position, observer in enumerate(config.observers):
        here: Path = ("observers", position, "node")
        if observer.node is None:
            continue
        if observer.node in there:
            other, path = there[observer.node]
            sentence = f"{other} runs beside {observer.node} already: each node has one daemon of its own"
            yield Problem(here, sentence, (path,))
        there.setdefault(observer.node, (observer.name, here))


def _coordination(config: Config) -> Iterator[Problem]:
    zookeeper = config.coordination.zookeeper
    if zookeeper is None:
        return
    here: Path = ("coordination", "zookeeper", "servers")
    if not zookeeper.servers:
        yield Problem(here, "no server is listed: write all of the ensemble")
    if config.coordination.local.model_fields_set:
        sentence = "zookeeper is the store here: leave this section out"
        yield Problem(("coordination", "local"), sentence, (("coordination", "zookeeper"),))
    for position, server in enumerate(zookeeper.servers):
        if server in zookeeper.servers[:position]:
            yield Problem((*here, position), f"{shown(server)} stands here twice: keep one")
    for name, target in config.dns.items():
        if target.embedded is not None and len(config.observers) > 1:
            sentence = "a name server inside one daemon cannot be written to by the others: write rfc2136"
            yield Problem(("dns", name, "embedded"), sentence, (("observers",),))


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _deployment,
    _only_of_a_cluster,
    _nodes,
    _services,
    _observers,
    _beside,
    _coordination,
    identities.consistent,
    publishing.endpoints,
    publishing.targets,
    access.replication,
    access.one_node_only,
    access.secrets,
    access.agents,
    access.switches,
    leases.leases,
    failback.failback,
    contradictions,
)
