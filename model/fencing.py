"""Client ports, what a fence achieved, and what only the node knows about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailward.model.token import Token


class PortKind(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    DETOURED = "detoured"


@dataclass(frozen=True, slots=True)
class PortState:
    """The state of one service's client port; `to` is an address, for DETOURED only."""

    kind: PortKind
    to: str | None = None

    def __str__(self) -> str:
        return f"detoured to {self.to}" if self.kind is PortKind.DETOURED else self.kind.value


OPEN = PortState(PortKind.OPEN)
CLOSED = PortState(PortKind.CLOSED)

PortMap = Mapping[str, PortState]
"""Service name to state: always of every configured service, never a part."""


def opens(ports: PortMap) -> bool:
    """Whether a map leaves clients any port."""
    return any(port.kind is not PortKind.CLOSED for port in ports.values())


class Hook(StrEnum):
    """The admin's own commands on a node, as its `node.json` names them."""

    PROMOTE = "promote"  # before its ports open; they stay closed if it is not verified
    DEMOTE = "demote"  # after its ports have closed


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order wants beside its map. `lease_s`: for how long open ports stay so without a renewal, 1 to
    3600 s; the node's kernel refuses them then. None: for as long as nothing else is ordered. `stop`: once
    all ports are closed, the node's writers are stopped, until an order without `stop` starts them again.
    `hook`: PROMOTE closes nothing that was open, DEMOTE goes with a map that closes all."""

    lease_s: float | None = None
    stop: bool = False
    hook: Hook | None = None

    @property
    def extra_s(self) -> float:
        """How much longer an answer may take than that to an order of ports alone: seconds. Another order's
        work may have to end first, and writers to be started."""
        if self == PLAIN:
            return 0.0
        return _WAIT_AND_START_S + (_STOP_S if self.stop else 0.0) + (_HOOK_S if self.hook else 0.0)


PLAIN = Terms()
_WAIT_AND_START_S, _STOP_S, _HOOK_S = 28.0, 20.0, 122.0


class FenceOutcome(StrEnum):
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class Scope(StrEnum):
    """How much of a node a fence stops."""

    NONE = "none"
    USERS = "users"  # the client ports
    WRITES = "writes"  # also LMTP, queue and anything that writes a shared or one-way store
    POWER = "power"

    def covers(self, other: "Scope") -> bool:
        """Whether this stops all that `other` does."""
        rising = list(Scope)
        return rising.index(self) >= rising.index(other)


@dataclass(frozen=True, slots=True)
class FenceResult:
    """What ordering a port map achieved. CONFIRMED only by acknowledgement of this token and by
    the refusal seen from outside; an order that only opens is CONFIRMED by acknowledgement. `hooked`: the
    hook that was ordered with it is verified, or none was; the outcome is about the ports alone."""

    outcome: FenceOutcome
    scope: Scope = Scope.NONE
    detail: str = ""
    hooked: bool = True


class Power(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PowerReading:
    """What a node's power switch says of it; `detail` says why where that is UNKNOWN."""

    power: Power
    detail: str = ""


class HelperReply(StrEnum):
    OBEYED = "obeyed"
    STALE = "stale"  # it has obeyed this token or a higher one
    FOREIGN = "foreign"  # it belongs to another store
    LAPSED = "lapsed"  # a renewal that came too late: its ports are refused until a new order
    REFUSED = "refused"  # bad request, late, not persisted, firewall
    UNKNOWN = "unknown"  # no answer, or one that cannot be trusted


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What became of a hook. `ran`: its command came to its end; `verified`: what checks it agrees."""

    hook: Hook
    configured: bool
    ran: bool
    verified: bool
    detail: str = ""

    @property
    def done(self) -> bool:
        """One that is not configured has nothing to do."""
        return self.verified or not self.configured


@dataclass(frozen=True, slots=True)
class HelperAnswer:
    """The helper's answer to an order, a claim or a renewal. `token` is the highest it now knows. `stopped`
    says whether all writers are (None: that was not asked), `writers` what each of them is where an order has
    stopped or started them, `hook` what became of the hook that was ordered."""

    reply: HelperReply
    token: Token | None = None
    ports: PortMap = field(default_factory=dict)
    persisted: bool = True
    detail: str = ""
    stopped: bool | None = None
    writers: "Mapping[str, UnitState]" = field(default_factory=dict)
    hook: HookAnswer | None = None


class UnitState(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    FAILED = "failed"
    STARTING = "starting"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Space:
    """Free room of a path that holds mail or queue; None where it could not be read."""

    free_bytes: int | None
    total_bytes: int | None
    free_inodes: int | None
    total_inodes: int | None


BOOTS_CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The helper's `status`: what only the node knows.

    `applied` says whether the firewall really shows the recorded map (None: cannot tell);
    `forced` that root opened the ports by hand. `lease_s` is the lease under which ports are open (None:
    under none), `lease_left_s` how many whole seconds of it are left: 0 when it has lapsed, and in its last
    second; None when that cannot be told. `stopped` says whether all writers are (None: no order wants it).
    `boot` is what the ports are after a reboot, `closed` or `as-ordered`; an earlier release tells None.
    `firewall` is the program that closes ports, '' where that is not told; only nftables knows leases.
    """

    hostname: str
    boot_id: str
    token: Token | None
    ports: PortMap
    applied: bool | None
    units: Mapping[str, UnitState]
    package_manager: bool
    paths: Mapping[str, Space]
    forced: bool = False
    lease_s: float | None = None
    lease_left_s: float | None = None
    stopped: bool | None = None
    boot: str | None = None
    firewall: str = ""

    @property
    def boots_closed(self) -> bool:
        """Whether the node opens nothing by itself after a reboot."""
        return self.boot == BOOTS_CLOSED
