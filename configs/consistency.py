"""What the parts of a configuration must be to each other. Pure: each check yields its problems.

A check says in `about` which other places it looked at, so that a place already reported as broken casts
no shadow. Times are `times`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailward.configs import effective
from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.sections import SecretSection
from mailward.configs.services import DEFAULT_SERVICES, Protocol
from mailward.configs.shape import closest
from mailward.configs.targets import Target, within
from mailward.configs.times import contradictions
from mailward.configs.values import shown
from mailward.model.policy import Automation, Deployment


@dataclass(frozen=True)
class Names:
    """The names the file gives, also where what stands under them is broken."""

    nodes: tuple[str, ...]
    services: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Names":
        def keys(section: str) -> tuple[str, ...]:
            found = values.get(section)
            return tuple(found) if isinstance(found, dict) else ()

        return cls(keys("nodes"), keys("services") if "services" in values else DEFAULT_SERVICES, keys("dns"))


def problems_of(config: Config, names: Names) -> Iterator[Problem]:
    """Everything that does not fit together."""
    yield from _references(config, names)
    for check in CHECKS:
        yield from check(config)
    yield from contradictions(config)


def secret_sections(config: Config) -> Iterator[tuple[Path, SecretSection]]:
    """Every section that holds a secret."""
    if config.canary:
        yield ("canary",), config.canary
    if config.replication and config.replication.doveadm:
        yield ("replication", "doveadm"), config.replication.doveadm
    for name, node in config.nodes.items():
        if node.replication and node.replication.doveadm:
            yield ("nodes", name, "replication", "doveadm"), node.replication.doveadm
    for name, target in config.dns.items():
        if target.rfc2136:
            yield ("dns", name, "rfc2136", "tsig"), target.rfc2136.tsig
    yield ("api",), config.api


def _unknown(path: Path, kind: str, name: str, known: Collection[str]) -> Problem:
    near = closest(name, known)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(known) or 'none'}"
    return Problem(path, f"{shown(name)} is not a {kind}: {hint}")


def _references(config: Config, names: Names) -> Iterator[Problem]:
    sites = effective.sites_of(config)
    for name, node in config.nodes.items():
        if node.site not in sites:
            yield _unknown(("nodes", name, "site"), "site", node.site, sites)
        for service in node.services:
            if service not in names.services:
                yield _unknown(("nodes", name, "services", service), "service", service, names.services)
    for name, endpoint in config.endpoints.items():
        here = ("endpoints", name)
        lists = (
            ("services", "service", endpoint.services, names.services),
            ("nodes", "node", endpoint.nodes or (), names.nodes),
            ("dns", "DNS target", endpoint.dns or (), names.targets),
        )
        for key, kind, wanted, known in lists:
            for position, one in enumerate(wanted):
                if one in wanted[:position]:
                    yield Problem((*here, key, position), f"{shown(one)} stands here twice: keep one")
                elif one not in known:
                    yield _unknown((*here, key, position), kind, one, known)
    for position, observer in enumerate(config.observers):
        if observer.site is not None and observer.site not in sites:
            yield _unknown(("observers", position, "site"), "site", observer.site, sites)
    if config.on_node is not None and config.on_node not in names.nodes:
        yield _unknown(("on_node",), "node", config.on_node, names.nodes)


def _deployment(config: Config) -> Iterator[Problem]:
    here, count = ("deployment",), len(config.nodes)
    if not config.nodes:
        yield Problem(
            ("nodes",), "no node is listed: write at least one, such as mail-a: {site: …, addresses: […]}"
        )
    if config.deployment is Deployment.CLUSTER:
        yield Problem(
            here, "cluster is not supported yet: write hybrid (all nodes serve) or standard (one node)"
        )
    elif config.deployment is Deployment.STANDARD:
        if count > 1:
            yield Problem(here, f"standard has one node, here are {count}: write hybrid", (("nodes",),))
        if config.automation is Automation.ACT:
            yield Problem(("automation",), "standard has nothing to fail over to: write observe", (here,))
    elif count == 1:
        yield Problem(
            here, "hybrid needs two nodes or more, here is one: add a node, or write standard", (("nodes",),)
        )


def _replication(config: Config) -> Iterator[Problem]:
    """In a hybrid a returning node waits until it has caught up: somebody must say how that is known."""
    said: list[tuple[Path, Any]] = [(("replication",), config.replication)]
    said += [(("nodes", name, "replication"), node.replication) for name, node in config.nodes.items()]
    for path, section in said:
        if section is not None and section.doveadm is not None and section.ssh:
            yield Problem(path, "doveadm and ssh are both given: keep one")
    silent = config.replication is not None and not config.replication.model_fields_set
    for name, node in config.nodes.items():
        path = ("nodes", name, "replication")
        inherits = node.replication is not None and not node.replication.model_fields_set
        source = effective.replication_of(config, name) if node.addresses else None
        if config.deployment is Deployment.HYBRID and inherits and silent:
            yield Problem(
                ("replication",),
                "missing: write how replication is measured, `{doveadm: {api_key_file: …}}` or `{ssh: true}`,"
                " or `none` where nodes share their mail store or nothing",
                (("deployment",), path),
            )
            return
        if source is not None and source.ssh and effective.ssh_of(config, name) is None:
            yield Problem(
                path,
                f"measuring over ssh uses the helper's account, and {name} has no helper",
                (("helper",), ("replication",), ("nodes", name, "helper")),
            )
    if config.replication and config.replication.doveadm and config.replication.doveadm.url:
        yield Problem(
            ("replication", "doveadm", "url"),
            "belongs to one node: write it under nodes.NAME.replication.doveadm",
        )
    if config.helper and config.helper.ssh.address:
        yield Problem(
            ("helper", "ssh", "address"), "belongs to one node: write it under nodes.NAME.helper.ssh"
        )


def _nodes(config: Config) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for name, node in config.nodes.items():
        if not node.addresses:
            yield Problem(("nodes", name, "addresses"), "no address is listed: write at least one")
        for position, address in enumerate(node.addresses):
            if address in owners:
                yield Problem(
                    ("nodes", name, "addresses", position),
                    f"{address} is already an address of {owners[address]}: clients could not tell them"
                    f" apart",
                    (("nodes", owners[address], "addresses"),),
                )
            owners.setdefault(address, name)
        if node.hostname is not None:
            if node.hostname in hosts:
                yield Problem(
                    ("nodes", name, "hostname"),
                    f"{node.hostname} is already the name of {hosts[node.hostname]}",
                )
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
            yield Problem(
                ("services", name, "protocol"),
                f"missing: {shown(name)} says none; write one of {', '.join(Protocol)}",
            )
            continue
        if service.probe.login == "canary" and config.canary is None:
            yield Problem(
                ("services", name, "probe", "login"),
                "no canary account is given: add the section `canary`, or write none",
                (("canary",),),
            )
        if service.probe.starttls and speaking[name].begins_with_tls:
            yield Problem(
                ("services", name, "probe", "starttls"),
                f"{speaking[name]} begins with TLS: leave the line out",
                (("services", name, "protocol"),),
            )
        if service.probe.rcpt is not None and speaking[name].speaks_imap:
            yield Problem(
                ("services", name, "probe", "rcpt"),
                f"{speaking[name]} takes no recipients: leave the line out",
                (("services", name, "protocol"),),
            )
    for node in config.nodes:
        taken: dict[int, str] = {}
        for name in speaking:
            port = effective.port_of(config, name, node)
            if port in taken:
                yield _same_port(config, node, name, taken[port], port)
            taken.setdefault(port, name)


def _same_port(config: Config, node: str, name: str, other: str, port: int) -> Problem:
    sentence = f"port {port} is already that of {other}: each service has its own"
    here: Path = ("nodes", node, "services", name, "port")
    if name in config.nodes[node].services:
        return Problem(here, sentence, (("services", other), ("nodes", node, "services")))
    if other in config.nodes[node].services:
        here = ("nodes", node, "services", other, "port")
        return Problem(
            here, f"port {port} is already that of {name}: each service has its own", (("services", name),)
        )
    return Problem(("services", name, "port"), sentence, (("services", other),))


def _endpoints(config: Config) -> Iterator[Problem]:
    if not config.endpoints and config.deployment is Deployment.HYBRID:
        yield Problem(
            ("endpoints",), "missing: write at least one DNS name that clients use", (("deployment",),)
        )
    for name, endpoint in config.endpoints.items():
        here = ("endpoints", name)
        if not endpoint.services:
            yield Problem((*here, "services"), "no service is listed: write what clients use under this name")
        if endpoint.nodes == ():
            yield Problem((*here, "nodes"), "no node is listed: write all, or the names of some")
        for node, entry in config.nodes.items():
            if entry.hostname == name:
                yield Problem(
                    here,
                    f"is the own name of {node}, which must not move: write the name that clients use",
                    (("nodes", node, "hostname"),),
                )
        yield from _published(config, name)


def _published(config: Config, name: str) -> Iterator[Problem]:
    """Whether the zones of an endpoint's DNS targets hold it."""
    here, endpoint = ("endpoints", name), config.endpoints[name]
    if endpoint.dns is not None:
        if not endpoint.dns:
            yield Problem(
                (*here, "dns"), "no DNS target is listed: write one, or leave the line out for all that fit"
            )
        for position, target in enumerate(endpoint.dns):
            zone = config.dns[target].zone if target in config.dns else ""
            if zone and not within(name, zone):
                sentence = f"{name} is not in the zone of {target}, {zone}"
                yield Problem((*here, "dns", position), sentence, (("dns", target),))
    elif not effective.targets_of(config, name) and (config.dns or config.automation is Automation.ACT):
        zones = sorted({target.zone for target in config.dns.values() if target.zone})
        known = f"the zones are {', '.join(zones)}" if zones else "add one under `dns`"
        yield Problem(here, f"no DNS target's zone holds this name: {known}", (("dns",), ("automation",)))


def _dns(config: Config) -> Iterator[Problem]:
    listening: dict[tuple[str, int], str] = {}
    if config.api.listen is not None:
        listening[config.api.listen] = "api.listen"
    for name, target in config.dns.items():
        here = ("dns", name)
        if (target.rfc2136 is None) == (target.embedded is None):
            said = (
                "both are given: keep one" if target.rfc2136 else "missing: write one of rfc2136 and embedded"
            )
            yield Problem(here, said)
        yield from _servers(here, target)
        if target.embedded is None:
            continue
        for key in ("listen", "ns"):
            if not getattr(target.embedded, key):
                yield Problem((*here, "embedded", key), "the list is empty: write at least one")
        for position, server in enumerate(target.embedded.ns):
            if within(server, target.embedded.zone):
                yield Problem(
                    (*here, "embedded", "ns", position),
                    f"{server} lies in the zone itself, which holds endpoints only: write a name outside"
                    f" of it",
                    ((*here, "embedded", "zone"),),
                )
        for position, address in enumerate(target.embedded.listen):
            if address in listening:
                yield Problem(
                    (*here, "embedded", "listen", position),
                    f"{address} is already taken by {listening[address]}",
                    (("api", "listen"),),
                )
            listening.setdefault(address, f"dns.{name}.embedded")


def _servers(here: Path, target: Target) -> Iterator[Problem]:
    if target.rfc2136 is None:
        return
    for position, server in enumerate(target.rfc2136.secondaries):
        path = (*here, "rfc2136", "secondaries", position)
        if server == target.rfc2136.primary:
            yield Problem(
                path, f"{server} is the primary: list only the others", ((*here, "rfc2136", "server"),)
            )
        elif server in target.rfc2136.secondaries[:position]:
            yield Problem(path, f"{server} stands here twice: keep one")
    if target.rfc2136.verify == ():
        yield Problem(
            (*here, "rfc2136", "verify"), "the list is empty: write at least one server, or leave it out"
        )


def _observers(config: Config) -> Iterator[Problem]:
    names = [observer.name for observer in config.observers]
    if not names:
        yield Problem(("observers",), "no observer is listed: leave the section out for one")
    elif len(names) > 1:
        yield Problem(
            ("observers", 1), "the local store takes one observer: keep the one that runs the controller"
        )
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Problem(("observers", position, "name"), f"{shown(name)} stands here twice: keep one")


def _secrets(config: Config) -> Iterator[Problem]:
    """Each secret has one source; that of the API and a node's inherited one may be left out."""
    shared = config.replication.doveadm if config.replication else None
    for path, section in secret_sections(config):
        file_key, env_key = section.secret_keys
        if getattr(section, file_key) is not None and getattr(section, env_key) is not None:
            yield Problem(path, f"{file_key} and {env_key} are both given: keep one")
        inherits = path[0] == "nodes" and shared is not None and shared.names_secret
        if not section.names_secret and not inherits and path[0] != "api" and path[0] != "replication":
            yield Problem(
                (*path, file_key), f"missing: write the path of a file that holds the {section.secret_name}"
            )
    if shared is not None and not shared.names_secret and _leans_on(config):
        yield Problem(
            ("replication", "doveadm", "api_key_file"),
            "missing: write the path of a file that holds the api_key",
        )


def _leans_on(config: Config) -> bool:
    """Whether a node takes its doveadm key from the defaults."""
    return any(
        node.replication is not None and not node.replication.model_fields_set
        for node in config.nodes.values()
    )


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _deployment,
    _replication,
    _nodes,
    _services,
    _endpoints,
    _dns,
    _observers,
    _secrets,
)
