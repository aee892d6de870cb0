"""Actions, orders and outcomes: what is to be done outside, and what came of it.

An action is one thing to do; an order is an action stamped with its token, recorded before it is
sent. Every action is the whole of what should be (all RRsets, the whole port map), so that doing it
twice is doing it once. The type says which port carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mailward.model.clock import Moment
from mailward.model.dns import RRset
from mailward.model.fencing import PLAIN, FenceOutcome, PortState, Scope, Terms
from mailward.model.policy import RungKind
from mailward.model.token import NOTHING_SENT, Sent, Token


@dataclass(frozen=True, slots=True)
class ClaimTarget:
    """Write our token to a DNS target and change nothing else; not if it remembers what `sent` does not
    explain."""

    target: str
    sent: Sent = NOTHING_SENT
    kind: Literal["claim-target"] = "claim-target"


@dataclass(frozen=True, slots=True)
class ClaimHelper:
    """Write our token to a node's helper and change nothing else."""

    node: str
    kind: Literal["claim-helper"] = "claim-helper"


@dataclass(frozen=True, slots=True)
class Publish:
    """Make the listed RRsets exactly so on one DNS target."""

    target: str
    rrsets: tuple[RRset, ...]
    kind: Literal["publish"] = "publish"


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask every authoritative server of a target whether it answers the listed RRsets."""

    target: str
    rrsets: tuple[RRset, ...]
    kind: Literal["verify"] = "verify"


@dataclass(frozen=True, slots=True)
class OrderPorts:
    """Order a node's whole port map, on `terms`, `by` the helper itself or by the daemon beside it; what it
    closes is then seen from outside."""

    node: str
    ports: Mapping[str, PortState]
    terms: Terms = PLAIN
    by: RungKind = RungKind.HELPER
    kind: Literal["order-ports"] = "order-ports"


@dataclass(frozen=True, slots=True)
class PowerOff:
    """Switch a node off, and read back that it is. Nobody down there remembers a token: what was begun may
    still happen until it expires."""

    node: str
    kind: Literal["power-off"] = "power-off"


@dataclass(frozen=True, slots=True)
class KickReplication:
    """Ask one node to replicate its waiting users now."""

    node: str
    kind: Literal["kick-replication"] = "kick-replication"


Action = ClaimTarget | ClaimHelper | Publish | Verify | OrderPorts | PowerOff | KickReplication


def key_of(action: Action) -> str:
    """What the action acts on, and by which way: two actions of one key replace each other."""
    if isinstance(action, ClaimTarget | Publish | Verify):
        return f"{action.kind}:{action.target}"
    if isinstance(action, OrderPorts) and action.by is not RungKind.HELPER:
        return f"{action.kind}:{action.node}:{action.by}"
    return f"{action.kind}:{action.node}"


@dataclass(frozen=True, slots=True)
class Order:
    """An action with its token, and the operation and step it serves (None: a claim). After
    `expires_s` from `issued` its outcome counts as UNKNOWN."""

    token: Token
    action: Action
    issued: Moment
    expires_s: float
    operation: str | None = None
    step: str | None = None


class Result(StrEnum):
    DONE = "DONE"
    STALE = "STALE"  # a higher token is there: somebody else leads
    AHEAD = "AHEAD"  # it remembers a token of ours that our store never sent: the store is an old copy
    FOREIGN = "FOREIGN"  # the target belongs to another store
    FAILED = "FAILED"  # refused, and nothing was changed
    UNKNOWN = "UNKNOWN"  # it may or may not have happened


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the order `token`. `fence` and `scope` are set by OrderPorts and PowerOff only. Not
    `sent`: it has certainly never left; what was sent may yet arrive once more, however it was answered."""

    token: Token
    result: Result
    at: Moment
    detail: str = ""
    fence: FenceOutcome | None = None
    scope: Scope = Scope.NONE
    sent: bool = True
