"""Endpoints and the DNS targets that hold them."""

from collections.abc import Iterator

from mailward.configs import effective
from mailward.configs.problems import Path, Problem, dotted
from mailward.configs.schema import Config
from mailward.configs.targets import Embedded, Rfc2136, within
from mailward.configs.values import Listen
from mailward.model.policy import Automation, Deployment


def endpoints(config: Config) -> Iterator[Problem]:
    if not config.endpoints and config.deployment is not Deployment.STANDARD:
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
        zones = sorted({target.zone for target in config.dns.values()})
        if "" in zones:
            return  # a target of no kind, which is said there
        known = f"the zones are {', '.join(zones)}" if zones else "add one under `dns`"
        yield Problem(here, f"no DNS target's zone holds this name: {known}", (("dns",), ("automation",)))


def targets(config: Config) -> Iterator[Problem]:
    taken: dict[Listen, str] = {}
    if config.api.listen is not None:
        taken[config.api.listen] = "api.listen"
    for name, target in config.dns.items():
        here = ("dns", name)
        if target.rfc2136 is not None and target.embedded is not None:
            yield Problem(here, "rfc2136 and embedded are both given: keep one")
        elif target.rfc2136 is not None:
            yield from _rfc2136((*here, "rfc2136"), target.rfc2136)
        elif target.embedded is not None:
            yield from _embedded((*here, "embedded"), target.embedded, taken)
        else:
            yield Problem(here, "missing: write one of rfc2136 and embedded")


def _embedded(here: Path, target: Embedded, taken: dict[Listen, str]) -> Iterator[Problem]:
    """`taken` is who listens where, and grows."""
    if not target.ns:
        yield Problem((*here, "ns"), "no name server is listed: write this host's name")
    for position, server in enumerate(target.ns):
        if within(server, target.zone):
            sentence = f"{server} lies in the zone itself, which holds endpoints only: write a name outside"
            yield Problem((*here, "ns", position), sentence, ((*here, "zone"),))
    if not target.listen:
        yield Problem((*here, "listen"), "no address is listed: write one, such as 0.0.0.0:53")
    for position, address in enumerate(target.listen):
        other = next((one for one in taken if collide(one, address)), None)
        if other is not None:
            sentence = f"{address} is already taken by {taken[other]} ({other})"
            yield Problem((*here, "listen", position), sentence, (("api", "listen"),))
        taken.setdefault(address, dotted((*here, "listen")))


def collide(one: Listen, other: Listen) -> bool:
    """Whether two sockets cannot both be bound: 0.0.0.0 and [::] take every address of their family."""
    if one.port != other.port or (":" in one.address) != (":" in other.address):
        return False
    return one.address == other.address or not {"0.0.0.0", "::"}.isdisjoint((one.address, other.address))


def _rfc2136(here: Path, target: Rfc2136) -> Iterator[Problem]:
    for position, server in enumerate(target.secondaries):
        path = (*here, "secondaries", position)
        if server == target.primary:
            yield Problem(path, f"{server} is the primary: list only the others", ((*here, "server"),))
        elif server in target.secondaries[:position]:
            yield Problem(path, f"{server} stands here twice: keep one")
    if target.verify == ():
        yield Problem((*here, "verify"), "no server is listed: write one, or leave the line out for all")
