"""What a configuration would do, in a screenful: the text of `mailward config check FILE`."""

from mailward.configs import effective
from mailward.configs.schema import Config
from mailward.configs.values import plain
from mailward.model.policy import Automation, Deployment


def describe(config: Config) -> list[str]:
    """Lines for people, at most 80 columns where names allow it. No secret, and not where one stands."""
    return [
        *_cluster(config),
        *(line for name in config.nodes for line in _node(config, name)),
        *(_service(config, name) for name in config.services),
        *(line for name in config.endpoints for line in _endpoint(config, name)),
        *(line for name in config.dns for line in _target(config, name)),
        *(f"warning: {warning}" for warning in config.warnings),
    ]


def _cluster(config: Config) -> list[str]:
    doing = "acts" if config.automation is Automation.ACT else "only observes (automation: observe)"
    alone = config.observers[0].node if config.coordination.zookeeper is None else None
    if alone is not None:
        doing = f"only observes, because it runs on {alone}"
    lines = [f"cluster {config.cluster}: {config.deployment}, {len(config.nodes)} nodes; mailward {doing}"]
    if config.deployment is Deployment.STANDARD:
        lines = [f"cluster {config.cluster}: {config.deployment}, one node, watched and explained"]
    rules = config.policy
    lines.append(
        f"  a service may be down {plain(rules.restart_grace_s)} s,"
        f" {plain(rules.known_restart_grace_s)} s during a restart the node reports"
    )
    return lines


def _node(config: Config, name: str) -> list[str]:
    node = config.nodes[name]
    lines = [f"node {name} in {node.site}: {' '.join(node.addresses)}"]
    if node.probe_address is not None:
        lines.append(f"  probed at {node.probe_address}")
    ssh = effective.ssh_of(config, name)
    lines.append(
        f"  helper: ssh {ssh.user}@{ssh.address} port {ssh.port}"
        if ssh is not None
        else "  helper: none, so its client ports are never closed"
    )
    if (observer := effective.asked_of(config, name)) is not None:
        lines.append(f"  asked first: {observer}, the daemon beside it, through ZooKeeper")
    source = effective.replication_of(config, name)
    if source is None:
        lines.append("  replication: none, so it returns without catching up")
    elif source.doveadm is not None:
        lines.append(f"  replication: doveadm at {source.doveadm.url}")
    elif source.ssh is not None:
        lines.append(f"  replication: ssh {source.ssh.user}@{source.ssh.address} port {source.ssh.port}")
    if config.policy.lease_s is not None:
        beside = effective.daemon_beside(config, name) or "nobody"
        lines.append(f"  lease: {plain(config.policy.lease_s)} s, renewed by the daemon {beside}")
    if node.agent is not None:
        lines.append(f"  power: {node.agent.program}, read back within {plain(node.agent.timeout_s)} s")
    return lines


def _service(config: Config, name: str) -> str:
    probe = config.services[name].probe
    account = effective.login_of(config, name)
    login = f"login {account.user}" if account is not None else "no login"
    where = f"{effective.protocol_of(config, name)}, port {effective.port_of(config, name)}"
    return f"service {name}: {where}, every {plain(probe.interval_s)} s, {login}"


def _endpoint(config: Config, name: str) -> list[str]:
    endpoint = config.endpoints[name]
    targets = effective.targets_of(config, name)
    published = f"in {' and '.join(targets)}" if targets else "nowhere: no DNS target"
    return [
        f"endpoint {name}: {', '.join(effective.nodes_of(config, name))}",
        f"  for {', '.join(endpoint.services)}; published {published}, TTL {endpoint.ttl_s} s",
    ]


def _target(config: Config, name: str) -> list[str]:
    target = config.dns[name]
    if target.rfc2136 is not None:
        primary, verified = target.rfc2136.primary, target.rfc2136.verified
        servers = f"{primary} and those the zone names" if verified is None else " ".join(map(str, verified))
        return [f"dns {name}: zone {target.zone}, updates to {primary}", f"  verified on {servers}"]
    listening = " ".join(str(address) for address in target.embedded.listen) if target.embedded else ""
    return [f"dns {name}: zone {target.zone}, answered here on {listening}"]
