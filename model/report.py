"""What one observer saw: written on change and as a heartbeat."""

from dataclasses import dataclass

from mailward.model.fencing import NodeFacts
from mailward.model.health import ServiceReport
from mailward.model.replication import Lag


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node as one observer sees it. `facts` is the last status the helper gave, None if it
    never answered; `helper_error` says why the newest attempt failed, '' if it did not."""

    node: str
    services: tuple[ServiceReport, ...]
    facts: NodeFacts | None = None
    facts_age_s: float = 0.0
    helper_error: str = ""


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What the daemon beside a node does for the lease of its client ports. `renewing`: it may renew it at
    any moment until a later report of its own says otherwise. Else it has renewed nothing for `idle_s`, by
    its own clock: since its last renewal had come to its end, or since its process began."""

    node: str
    renewing: bool
    idle_s: float = 0.0


MOST_GONE = 32
"""Ended processes that an observer remembers, the newest: a leader among them is replaced long before."""


@dataclass(frozen=True, slots=True)
class Report:
    """All an observer has to say. `seq` rises with every report: readers judge freshness by when
    it last moved, on their own clock. `tilted` says that the observer does not trust itself now.

    `gone` are the nonces of daemons' processes it saw end: the host refused a new connection after the one it
    held was closed, or another process answered under that name. Silence is not gone. At most `MOST_GONE`.

    `lease` is told by the daemon beside a node whose ports may be leased.

    `nonce` is of the process that left it in the store: of two under one name each sees the other's."""

    observer: str
    seq: int
    config_digest: str
    nodes: tuple[NodeReport, ...]
    lags: tuple[Lag, ...] = ()
    tilted: bool = False
    gone: tuple[str, ...] = ()
    nonce: str = ""
    lease: LeaseReport | None = None
