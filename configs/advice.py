"""What works as it is written, and may still surprise: warnings, shown by `config check` and at start."""

from collections.abc import Iterator

from mailward.configs import effective
from mailward.configs.schema import Config
from mailward.model.policy import Deployment


def advice(config: Config) -> Iterator[str]:
    """Sentences with their place in the file."""
    for name in config.endpoints:
        nodes = effective.nodes_of(config, name)
        if len(nodes) == 1 and len(config.nodes) > 1:
            yield f"endpoints.{name}: only {nodes[0]} stands behind it: it is never withdrawn"
        for family, mark in (("IPv4", "."), ("IPv6", ":")):
            have = [node for node in nodes if any(mark in one for one in config.nodes[node].addresses)]
            if have and len(have) < len(nodes):
                yield f"endpoints.{name}: {family} clients depend on {' and '.join(have)} alone"
    for name, node in config.nodes.items():
        if node.agent is not None and config.deployment is not Deployment.CLUSTER:
            yield f"nodes.{name}.agent: only a cluster switches a node off; here it is checked and never used"
    if not config.dns and config.endpoints:
        yield "dns: no target: endpoints are watched, never published"
    yield from _agreeing(config)
    if config.canary is None:
        yield "canary: no account: probes cannot log in, and a server that greets may still serve nobody"


def _agreeing(config: Config) -> Iterator[str]:
    """What several daemons need of ZooKeeper, and of each other."""
    zookeeper = config.coordination.zookeeper
    if zookeeper is None:
        return
    here, servers = "coordination.zookeeper", len(zookeeper.servers)
    if servers == 1:
        yield f"{here}: one server: without it nothing is done; three can spare one"
    elif servers % 2 == 0:
        yield f"{here}: {servers} servers can spare {(servers - 1) // 2}, as {servers - 1} can: add one"
    if zookeeper.tls is None:
        yield f"{here}: no tls: whoever reaches the servers may rewrite what is recorded"
    votes = sum(observer.votes for observer in config.observers)
    if votes < 3:
        all_votes = f"{votes} vote{'s' if votes > 1 else ''}"
        yield f"observers: {all_votes}: when one is silent nothing is done; three can spare one"
    sites = {node.site for node in config.nodes.values()}
    if len(sites) > 1 and all(observer.site in sites for observer in config.observers):
        yield "observers: all stand at the mail servers' sites: which of them is cut off, nobody could tell"
    silent = [observer.name for observer in config.observers if observer.address is None]
    if silent and len(config.observers) > 1:
        yield f"observers: no address for {' and '.join(silent)}: when it ends, its session is waited for"
