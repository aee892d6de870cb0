"""The cluster as configured, and the rules the core follows: what `decide` needs and no more.

How to connect, log in or sign is not here: drivers get that from the configuration directly.
Durations are seconds. The defaults of the rules stand here, their bounds and reasons with the
configuration's schema.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from mailward.model.fencing import Scope


class Deployment(StrEnum):
    STANDARD = "standard"
    CLUSTER = "cluster"
    HYBRID = "hybrid"


class Loss(StrEnum):
    """How much accepted mail an automatic promotion may leave behind on a node that was lost (I5). Where
    nobody knows how much it is, none is promoted."""

    LOSSLESS = "lossless"  # none
    BALANCED = "balanced"  # what came within `max_lag_s`
    AVAILABILITY = "availability"  # however much, if it is known


class Failback(StrEnum):
    """Whether service goes back to the node of the highest priority, when that is fit again."""

    NEVER = "never"  # and nobody is told that it could
    MANUAL = "manual"  # by a person, who is told what to type
    WINDOW = "window"  # by itself, at a time of each day
    AUTO = "auto"  # by itself


@dataclass(frozen=True)
class Window:
    """A time of each day, from and until so many seconds after midnight; over midnight where it ends before
    it begins. `offsets` say since when (seconds since the Unix epoch) clocks there are how many seconds ahead
    of UTC; the first counts before as well. `text` is how the configuration says it."""

    text: str
    from_s: float
    until_s: float
    offsets: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    def holds(self, wall_s: float) -> bool:
        """Whether it is that time now."""
        ahead_s = next((ahead for since, ahead in reversed(self.offsets) if since <= wall_s), None)
        local_s = (wall_s + (self.offsets[0][1] if ahead_s is None else ahead_s)) % 86400.0
        if self.from_s < self.until_s:
            return self.from_s <= local_s < self.until_s
        return local_s >= self.from_s or local_s < self.until_s


class RungKind(StrEnum):
    """What a rung of a node's fencing ladder is; who may stop it."""

    ASK = "ask"  # mailward-node, through the store and the daemon beside it
    HELPER = "helper"  # mailward-node, over SSH
    LEASE = "lease"  # its kernel refuses clients where the daemon beside it renews nothing
    AGENT = "agent"  # a fence-agents program: the node's power


class Automation(StrEnum):
    OBSERVE = "observe"
    ACT = "act"


@dataclass(frozen=True)
class Service:
    """A client-facing service: name, TCP port, and the protocol a probe speaks."""

    name: str
    port: int
    protocol: str


@dataclass(frozen=True)
class Rung:
    """One way to fence a node. An order that stops it counts as UNKNOWN after `timeout_s`; a lease takes
    none, and is over for certain then."""

    kind: RungKind
    timeout_s: float


@dataclass(frozen=True)
class Node:
    """A mail server. `addresses` are what clients are given, IPv4 and IPv6; `fenced` says that a
    helper answers for its client ports; `replicates` that lag to and from it is measured;
    `hostname` is the name it gives itself in banners. Of several standbys that with the highest `priority`
    is promoted. `ladder` are its rungs in the order in which they are tried."""

    name: str
    site: str
    addresses: tuple[str, ...]
    fenced: bool = True
    replicates: bool = True
    hostname: str | None = None
    priority: int = 0
    ladder: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A DNS name clients use: which services it promises, which nodes may stand behind it."""

    name: str
    services: tuple[str, ...]
    nodes: tuple[str, ...]
    ttl_s: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Observer:
    """`leads`: whether it may."""

    name: str
    site: str
    votes: int = 1
    leads: bool = True


def lease_over_s(lease_s: float) -> float:
    """For how long nothing may have been renewed until what is leased for `lease_s` is closed for certain:
    since the last report that a renewal took.

    The one before that report may not have been answered, and be carried out yet in the window of its helper
    (`WINDOW_S`, with what the firewall has to do). The one that took the report begins before that lease
    ends, however late it was sent, and lasts as long again: two leases, as the node's kernel counts them, a
    twentieth slower than we do at most."""
    return _WINDOW_S + 2 * lease_s * _CLOCKS_DIFFER + _MARGIN_S


_WINDOW_S, _CLOCKS_DIFFER, _MARGIN_S = 2.0, 1.05, 2.0


@dataclass(frozen=True)
class Rules:
    """The numbers of the policy."""

    restart_grace_s: float = 1.0
    known_restart_grace_s: float = 15.0
    max_lag_s: float = 300.0
    caught_up_lag_s: float = 5.0
    catch_up_wait_s: float = 300.0
    stable_s: float = 10.0
    hold_down_s: float = 30.0
    hold_down_max_s: float = 3600.0
    flap_memory_s: float = 21600.0
    failovers_per_hour: int = 6
    report_fresh_s: float = 10.0
    facts_fresh_s: float = 10.0
    lag_fresh_s: float = 60.0
    order_timeout_s: float = 8.0
    step_patience_s: float = 60.0
    retry_s: float = 1.0
    retry_max_s: float = 30.0
    min_free_bytes: int = 64 * 1024 * 1024
    min_free_inodes: int = 1000
    last_resort: bool = True
    takeover_after_s: float = 30.0
    rescue_s: float = 10.0
    demote_s: float = 20.0
    fence_scope: Scope = Scope.USERS
    loss: Loss = Loss.BALANCED
    lease_s: float | None = None
    failback: Failback = Failback.MANUAL
    failback_window: Window | None = None
    failback_after_s: float = 3600.0

    @property
    def lease_over_s(self) -> float | None:
        """For how long nothing may have been renewed until leased ports are closed for certain; None: there
        are no leases."""
        return None if self.lease_s is None else lease_over_s(self.lease_s)


@dataclass(frozen=True)
class Policy:
    """Everything the core knows of the cluster as configured. `digest` names the configuration; `unguarded`
    are the targets that cannot refuse an old order."""

    cluster: str
    deployment: Deployment
    automation: Automation
    services: tuple[Service, ...]
    nodes: tuple[Node, ...]
    endpoints: tuple[Endpoint, ...]
    observers: tuple[Observer, ...]
    targets: tuple[str, ...]
    rules: Rules
    digest: str
    unguarded: tuple[str, ...] = ()

    @cached_property
    def node_by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def endpoint_by_name(self) -> dict[str, Endpoint]:
        return {endpoint.name: endpoint for endpoint in self.endpoints}

    @cached_property
    def _endpoints_by_node(self) -> dict[str, tuple[Endpoint, ...]]:
        found: dict[str, tuple[Endpoint, ...]] = {}
        for endpoint in self.endpoints:
            for node in dict.fromkeys(endpoint.nodes):
                found[node] = (*found.get(node, ()), endpoint)
        return found

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Endpoint]:
        """Every (node, endpoint) there is, by their names, in the order of nodes and then endpoints."""
        return {(n.name, e.name): e for n in self.nodes for e in self.endpoints_of(n.name)}

    def endpoints_of(self, node: str) -> tuple[Endpoint, ...]:
        return self._endpoints_by_node.get(node, ())

    @property
    def votes_needed(self) -> int:
        """A majority of the configured votes (I6)."""
        return sum(observer.votes for observer in self.observers) // 2 + 1
