"""What follows from the configuration: inherited, derived and default values, each in one place.

The models are the file as written; whoever opens connections asks here.
"""

from mailward.configs.nodes import Doveadm, Replication, Ssh
from mailward.configs.schema import Config
from mailward.configs.services import STANDARD_PORTS, Canary, Protocol
from mailward.configs.targets import within
from mailward.model.policy import Deployment

DOVEADM_PORT = 8080


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def sites_of(config: Config) -> tuple[str, ...]:
    """Listed sites, or those of nodes and observers in the order of the file."""
    if config.sites is not None:
        return config.sites
    named = [node.site for node in config.nodes.values()]
    named += [observer.site for observer in config.observers if observer.site]
    return tuple(dict.fromkeys(named))


def probe_address_of(config: Config, node: str) -> str:
    """Where a node is probed and otherwise reached."""
    entry = config.nodes[node]
    return entry.probe_address or entry.addresses[0]


def ssh_of(config: Config, node: str) -> Ssh | None:
    """The way to a node's helper, `address` filled in; None where there is no helper."""
    own, shared = config.nodes[node].helper, config.helper
    if own is None or ("ssh" not in own.model_fields_set and shared is None):
        return None
    ssh = own.ssh.over(shared.ssh) if shared is not None else own.ssh
    return ssh.reached_at(probe_address_of(config, node))


def daemon_beside(config: Config, node: str) -> str | None:
    """The observer that runs beside a node; None where none does."""
    return next((observer.name for observer in config.observers if observer.node == node), None)


def asked_of(config: Config, node: str) -> str | None:
    """The observer whose daemon passes orders on to a node's helper: the one beside it, in a cluster (where
    every node has a helper) with a store that carries them; None where none does."""
    if config.deployment is not Deployment.CLUSTER or config.coordination.zookeeper is None:
        return None
    return daemon_beside(config, node)


def replication_of(config: Config, node: str) -> Replication | None:
    """How a node's lag is measured: `doveadm` with its `url` filled in, or `ssh` with its `address`; None
    where it is not."""
    own, shared = config.nodes[node].replication, config.replication
    if own is None:
        return None
    if not own.model_fields_set:
        own = shared
    if own is None:
        return None
    if own.ssh is not None:
        lag = own.ssh.over(shared.ssh) if shared is not None and shared.ssh is not None else own.ssh
        return own.model_copy(update={"ssh": lag.reached_at(probe_address_of(config, node))})
    if own.doveadm is None:
        return None
    doveadm = own.doveadm
    if shared is not None and shared.doveadm is not None and own is not shared:
        doveadm = doveadm.over(shared.doveadm)
    return own.model_copy(update={"doveadm": _with_url(doveadm, probe_address_of(config, node))})


def _with_url(doveadm: Doveadm, address: str) -> Doveadm:
    return doveadm.model_copy(update={"url": doveadm.url or f"http://{_bracketed(address)}:{DOVEADM_PORT}"})


def protocol_of(config: Config, service: str) -> Protocol:
    """What a service speaks: as said, or by its name."""
    return config.services[service].protocol or Protocol(service)


def port_of(config: Config, service: str, node: str | None = None) -> int:
    """A service's TCP port, on `node` if that differs."""
    here = config.nodes[node].services.get(service) if node is not None else None
    if here is not None:
        return here.port
    return config.services[service].port or STANDARD_PORTS[protocol_of(config, service)]


def login_of(config: Config, service: str) -> Canary | None:
    """The account a service's probe logs in with, or None."""
    wish = config.services[service].probe.login
    if wish == "none" or (wish is None and not protocol_of(config, service).for_users):
        return None
    return config.canary


def tls_name_of(config: Config, service: str, node: str) -> str | None:
    """The name a certificate must hold: as said, the first endpoint with this service and node, or the
    node's own name; None where there is none to check."""
    said = config.services[service].probe.tls_name
    if said is not None:
        return said
    for name, endpoint in config.endpoints.items():
        if service in endpoint.services and node in nodes_of(config, name):
            return name
    return config.nodes[node].hostname


def uses_starttls(config: Config, service: str) -> bool:
    """Whether a service's probe demands STARTTLS; never where the connection begins with TLS."""
    protocol, said = protocol_of(config, service), config.services[service].probe.starttls
    if protocol.begins_with_tls:
        return False
    return protocol.for_users if said is None else said


def nodes_of(config: Config, endpoint: str) -> tuple[str, ...]:
    """The nodes that may stand behind an endpoint, in the order of the file."""
    listed = config.endpoints[endpoint].nodes
    return tuple(config.nodes) if listed is None else listed


def targets_of(config: Config, endpoint: str) -> tuple[str, ...]:
    """The DNS targets an endpoint is published in."""
    listed = config.endpoints[endpoint].dns
    if listed is not None:
        return listed
    return tuple(name for name, target in config.dns.items() if within(endpoint, target.zone))
