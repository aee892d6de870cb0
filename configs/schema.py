"""The whole file. What its parts must be to each other is `consistency`; what follows from it `effective`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr

from mailward.configs.daemon import Api, Coordination, ObserverEntry, Watchdog
from mailward.configs.nodes import Helper, MaybeHelper, MaybeReplication, Node, Replication
from mailward.configs.rules import RulesSection
from mailward.configs.sections import Section
from mailward.configs.services import Canary, Service, Tls, default_services
from mailward.configs.targets import Target
from mailward.configs.values import Count, HostName, Name
from mailward.model.policy import Automation, Deployment


def _section(value: Any) -> Any:
    """An empty section is one with defaults, not none."""
    return {} if value is None else value


def _all_or_list(value: Any) -> Any:
    return None if value == "all" else value


class Endpoint(Section):
    """A DNS name clients use. Its records hold the addresses of the nodes in service."""

    services: tuple[Name, ...] = Field(
        description="The services clients use under this name: a node that fails one of them is withdrawn"
        " from it."
    )
    nodes: Annotated[tuple[Name, ...] | None, BeforeValidator(_all_or_list)] = Field(
        default=None, description="`all` (the default) or a list of the nodes that may stand behind it."
    )
    ttl_s: Annotated[int, Count(1, 3600, "seconds", "clients stay at a dead server for that long")] = Field(
        default=60,
        description="Seconds clients and resolvers keep an answer. Shorter moves them sooner and asks the"
        " name"
        " servers more often.",
    )
    dns: tuple[Name, ...] | None = Field(
        default=None,
        description="The DNS targets to publish in. Default: all whose zone holds the name.",
    )


class Config(Section):
    """One cluster."""

    cluster: Name = Field(description="The cluster's name; it is part of a record's name in DNS.")
    deployment: Deployment = Field(
        description="`hybrid` (two or more nodes, all serve), `cluster` (one of them serves) or `standard`"
        " (one node: watch and explain)."
    )
    automation: Automation = Field(
        default=Automation.OBSERVE,
        description="`observe` (the default: start nothing by itself, say what would be done) or `act`.",
    )
    sites: tuple[Name, ...] | None = Field(
        default=None,
        description="All sites, so that a typo in a site's name is found. Default: those that nodes and"
        " observers name.",
    )
    nodes: dict[Name, Node] = Field(description="The mail servers, each under its name.")
    helper: MaybeHelper = Field(
        default_factory=Helper, description="How the nodes' helpers are reached; `none` where none runs."
    )
    replication: MaybeReplication = Field(
        default_factory=Replication,
        description="How the lag of replication is measured; `none` where mail is not replicated.",
    )
    services: dict[Name, Service] = Field(
        default_factory=default_services,
        description="What every node offers; what is listed is all. Default: smtp, submission, imaps.",
    )
    canary: Canary | None = Field(default=None, description="The account probes log in with.")
    tls: Tls = Field(default_factory=Tls, description="Which certificates are believed.")
    endpoints: dict[HostName, Endpoint] = Field(
        default_factory=dict, description="The DNS names clients use, each with what it promises."
    )
    dns: dict[Name, Target] = Field(default_factory=dict, description="Where endpoints are published.")
    coordination: Coordination = Field(
        default_factory=Coordination, description="Where the recorded state lives."
    )
    observers: tuple[ObserverEntry, ...] = Field(
        default=(ObserverEntry(name="controller"),),
        description="The running daemons. Default: one, called `controller`.",
    )
    observer: Name | None = Field(
        default=None,
        description="Which of the observers this daemon is. Default: the only one, or the one that has this"
        " host's name.",
    )
    api: Api = Field(default_factory=Api, description="Status, metrics and requests.")
    watchdog: Annotated[Watchdog | None, BeforeValidator(_section)] = Field(
        default=None,
        description="The watchdog that resets this host when its daemon is stuck; best beside a mail server.",
    )
    policy: RulesSection = Field(default_factory=RulesSection, description="The numbers decisions follow.")

    _warnings: tuple[str, ...] = PrivateAttr(())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, and deserves a look; filled by `loading.load`."""
        return self._warnings
