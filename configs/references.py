"""Names that other parts of the file use: each must exist."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailward.configs import effective
from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.services import DEFAULT_SERVICES
from mailward.configs.shape import closest
from mailward.configs.values import shown


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


def unknown_names(config: Config, names: Names) -> Iterator[Problem]:
    sites = effective.sites_of(config)
    for position, site in enumerate(sites):
        if site in sites[:position]:
            yield Problem(("sites", position), f"{shown(site)} stands here twice: keep one")
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
        if observer.node is not None and observer.node not in names.nodes:
            yield _unknown(("observers", position, "node"), "node", observer.node, names.nodes)
    observers = [observer.name for observer in config.observers]
    if config.observer is not None and config.observer not in observers:
        listed = ", ".join(observers) or "none"
        sentence = f"{shown(config.observer)} is not one of the observers: known are {listed}"
        yield Problem(("observer",), sentence, (("observers",),))


def _unknown(path: Path, kind: str, name: str, known: Collection[str]) -> Problem:
    near = closest(name, known)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(known) or 'none'}"
    article = "an" if kind[0] in "aeiou" else "a"
    return Problem(path, f"{shown(name)} is not {article} {kind}: {hint}")
