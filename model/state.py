"""The recorded state: one document, written by one compare-and-set, before anything is acted on.

It says what was decided (phases, the running operation and its step, the orders sent), never what
was seen. `schema` is the document's shape; `min_writer` the oldest schema that may write it: an older
daemon must not lead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from mailward.model.clock import Moment
from mailward.model.dns import RRset
from mailward.model.fencing import FenceOutcome, Hook, PortMap, Scope, opens
from mailward.model.orders import Order, Result
from mailward.model.token import NOTHING_SENT, Sent, Token

SCHEMA = 1
MIN_WRITER = 1


class Phase(StrEnum):
    """A decision about a (node, endpoint). What each does is `controller.core.phases.EFFECTS`."""

    IN_SERVICE = "in-service"
    STANDBY = "standby"
    DRAINING = "draining"
    DEMOTING = "demoting"
    OUT = "out"
    REJOINING = "rejoining"
    PROMOTING = "promoting"


class Cause(StrEnum):
    """Why a (node, endpoint) left service. An operator's word is undone only by an operator's."""

    NONE = "none"
    SERVICE = "service-failed"
    UNREACHABLE = "unreachable"
    DISK = "disk-full"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    node: str
    endpoint: str
    phase: Phase
    since: Moment
    cause: Cause = Cause.NONE
    detail: str = ""


class Kind(StrEnum):
    """Operations. RECONCILE repeats effects that could not be confirmed when they were due."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    DRAIN = "drain"
    READMIT = "readmit"
    RECONCILE = "reconcile"


class Step(StrEnum):
    """Steps of operations; in which order each takes them says `controller.core.operations.steps_of`, and of
    what moves service in a cluster `controller.core.cluster.succession`."""

    PUBLISH = "publish"
    FENCE = "fence"
    VERIFY = "verify"
    WAIT_TTL = "wait-ttl"
    CATCH_UP = "catch-up"
    OPEN = "open"
    CHECK = "check"
    RESCUE = "rescue"
    DEMOTE = "demote"
    PROMOTE = "promote"


class Ending(StrEnum):
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    HANDED_OVER = "handed-over"  # to a human, with the reason and the command


@dataclass(frozen=True, slots=True)
class Attempt:
    """One action of the current step: how often it was ordered since nothing held the step, when last, and
    what came of it (None while the order is out). `key` is `model.orders.key_of` the action."""

    key: str
    tries: int
    last: Moment
    result: Result | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Vouched:
    """A person's word that a node is stopped. `boot_id` is what its helper said last, '' where it was silent:
    the word is over when that answers again with another."""

    node: str
    by: str
    at: Moment
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """When a part of an operation began: seconds after that started, below 0 for what preceded it. It lasts
    until the next one begins."""

    name: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A person's word that `node` may be promoted whatever it lacks of the mail of who served, up to what was
    known of that when it was taken up (`at`): so many seconds; None: nobody knew how much."""

    node: str
    seconds: float | None
    at: Moment


@dataclass(frozen=True, slots=True)
class Operation:
    """The one running operation (I10). `row` is the diagnosis row that wanted it. In a cluster `to` is who
    takes over, '' while that is open; `failed` are those that could not, or are not wanted; `vouched` is what
    people have said, for this operation alone (I4), and `accepts` what a person's `--force` was for (I5):
    there `force` says nothing. `marks` are in the order of time."""

    id: str
    kind: Kind
    node: str
    endpoints: tuple[str, ...]
    step: Step
    started: Moment
    step_since: Moment
    cause: Cause
    reason: str
    row: int
    request: str | None = None
    force: bool = False
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    to: str = ""
    failed: tuple[str, ...] = ()
    vouched: tuple[Vouched, ...] = ()
    marks: tuple[Mark, ...] = ()
    accepts: Accepted | None = None

    def attempt(self, key: str) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.key == key), None)


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation that is over."""

    operation: Operation
    ending: Ending
    at: Moment
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PortsRecord:
    """The port map last ordered on a node and what is known of it.

    `lease_s`: whatever came of that order, what may be open there is so under a lease of at most so many
    seconds; None: it may be open under none. `opened` is when it was last ordered open under one, and
    `late_s` how much later that may begin yet; 0 once it has answered that it is open. `lapsed` is since when
    whatever was leased there is refused for certain, until it is ordered open again."""

    node: str
    token: Token
    ports: PortMap
    fence: FenceOutcome
    scope: Scope
    at: Moment
    detail: str = ""
    lease_s: float | None = None
    opened: Moment | None = None
    late_s: float = 0.0
    lapsed: Moment | None = None

    @property
    def closed(self) -> bool:
        """Whether every client port was seen to refuse after it was ordered to."""
        return self.fence is FenceOutcome.CONFIRMED and not opens(self.ports)


@dataclass(frozen=True, slots=True)
class PowerRecord:
    """What is known of switching a node off, as last ordered with `token`; while it is UNKNOWN it may yet
    happen until `expires_s` from `at`."""

    node: str
    token: Token
    off: FenceOutcome
    at: Moment
    expires_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """What a DNS target last took from us and when, and under which token it was claimed. While `published`
    is not known, `kept` is what it holds of it all the same: what it last took, and everything that was sent
    since, have it in common. Of one that cannot refuse an old order, `begun` says when that was sent which
    may still arrive."""

    target: str
    claim: Attempt | None = None
    claimed: Token | None = None
    sent: Sent = NOTHING_SENT
    published: tuple[RRset, ...] | None = None
    token: Token | None = None
    detail: str = ""
    at: Moment | None = None
    kept: tuple[RRset, ...] = ()
    begun: Moment | None = None

    @property
    def surely(self) -> tuple[RRset, ...]:
        """The records it holds, whatever came of what was sent."""
        return self.kept if self.published is None else self.published

    def surely_names(self, endpoint: str) -> set[str]:
        """The addresses it names for an endpoint, whatever came of what was sent."""
        return {value for rrset in self.surely if rrset.name == f"{endpoint}." for value in rrset.values}

    def claimed_in(self, epoch: int) -> bool:
        return self.claimed is not None and self.claimed.epoch == epoch


@dataclass(frozen=True, slots=True)
class HelperRecord:
    """A node's helper: under which token it was claimed, and how trying went. `hook` is the last one that was
    ordered there, and may have been run; `verified`: it was. Only what is verified counts: one that failed
    may have done a half."""

    node: str
    claim: Attempt | None = None
    claimed: Token | None = None
    sent: Sent = NOTHING_SENT
    hook: Hook | None = None
    verified: bool = False

    @property
    def promoted(self) -> bool:
        return self.hook is Hook.PROMOTE and self.verified

    @property
    def demoted(self) -> bool:
        return self.hook is Hook.DEMOTE and self.verified

    def claimed_in(self, epoch: int) -> bool:
        return self.claimed is not None and self.claimed.epoch == epoch


@dataclass(frozen=True, slots=True)
class Flap:
    """How often a node left service lately for one cause, counted at an operation's completion."""

    node: str
    cause: Cause
    count: int
    last: Moment


@dataclass(frozen=True, slots=True)
class Proven:
    """A rung of a node's ladder which `observer` has tried without harm, and which worked. `rung` is the
    name of its kind: one that a daemon of an earlier release does not know keeps it from nothing."""

    node: str
    rung: str
    observer: str
    at: Moment


class RequestKind(StrEnum):
    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    DRAIN = "drain"
    READMIT = "readmit"
    VOUCH = "vouch"  # for a node that it is stopped: for the running operation, once
    PROVEN = "proven"  # that rungs of a node's ladder have been tried, and worked: it is recorded
    CANCEL = "cancel"  # another request that still waits: it is not begun


@dataclass(frozen=True, slots=True)
class Request:
    """What an administrator asked for. Requests wait in the store until they are answered. For a
    switchover `node` is who is to serve. `operation` is the one that a word is for, `epoch` that of who led
    when it was said. `proven` are the rungs to be recorded as such. It is begun from `due_wall_s` on (seconds
    since the Unix epoch), None: at once. `cancels` is the id of the request that is withdrawn by it."""

    id: str
    kind: RequestKind
    node: str
    by: str
    reason: str
    at: Moment
    force: bool = False
    operation: str = ""
    proven: tuple[Proven, ...] = ()
    epoch: int = 0
    due_wall_s: float | None = None
    cancels: str = ""

    @property
    def who(self) -> str:
        """Who asks, and why, where that was said."""
        return f"{self.by}: {self.reason}" if self.reason else self.by


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: taken up as `operation`, or refused with the reason."""

    request: str
    accepted: bool
    detail: str
    at: Moment
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """No new operation until `until_wall_s` (seconds since the Unix epoch)."""

    owner: str
    reason: str
    since: Moment
    until_wall_s: float

    def in_force(self, now: Moment) -> bool:
        return now.wall_s < self.until_wall_s


@dataclass(frozen=True, slots=True)
class Episode:
    """A failure as automation saw it while only observing, or rode out within the grace.

    `would` is what acting would have done ('' while its gates held); `seen` is 'restart' or 'upgrade'
    once the node said so; `ended` is what it was: '' while it lasts, 'restart', 'upgrade', 'blip',
    'outage' or 'withdrawn'."""

    node: str
    endpoint: str
    began: Moment
    would: str = ""
    seen: str = ""
    ended: str = ""
    lasted_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Homing:
    """Of going back to the preferred node by itself: `moved_to` serves since a failover that nobody asked
    for, '' where somebody did; `fit` is the preferred node while it could serve, without a break `since`;
    `tried` is when the last one began by itself."""

    moved_to: str = ""
    fit: str = ""
    since: Moment | None = None
    tried: Moment | None = None


@dataclass(frozen=True)
class State:
    """The document. `made_epoch` is the epoch it was made with (`Sent.made`), `epoch_since` when the epoch
    was taken up, `as_of` when it was last changed; what had been begun before the epoch has expired
    `earlier_expire_s` later, by what was recorded with it. `superseded` says who else was found to lead,
    or that this document is an old copy: from then on nothing is done by it. What is not as long as the
    configuration makes it is bounded: `controller.core.bounds`.

    `schema` is what it was first written with, `min_writer` the least that may write it. A version that adds
    what may be ignored, but not lost, adds it at the top: in `carried` an older one keeps what it does not
    know, as JSON. What must not be ignored raises `min_writer`."""

    store_id: str
    epoch: int
    made_epoch: int | None = None
    seq: int = 0
    epoch_since: Moment | None = None
    earlier_expire_s: float = 0.0
    superseded: str = ""
    as_of: Moment | None = None
    schema: int = SCHEMA
    min_writer: int = MIN_WRITER
    phases: tuple[PhaseRecord, ...] = ()
    operation: Operation | None = None
    orders: tuple[Order, ...] = ()
    targets: tuple[TargetRecord, ...] = ()
    helpers: tuple[HelperRecord, ...] = ()
    ports: tuple[PortsRecord, ...] = ()
    power: tuple[PowerRecord, ...] = ()
    ended: tuple[Ended, ...] = ()
    flaps: tuple[Flap, ...] = ()
    fenced_at: tuple[Moment, ...] = ()
    answers: tuple[Answer, ...] = ()
    episodes: tuple[Episode, ...] = ()
    proven: tuple[Proven, ...] = ()
    tallies: Mapping[str, int] = field(default_factory=dict)
    homing: Homing = Homing()
    carried: str = ""

    @cached_property
    def _phase_index(self) -> dict[tuple[str, str], PhaseRecord]:
        return {(record.node, record.endpoint): record for record in self.phases}

    @cached_property
    def _phases_by_node(self) -> dict[str, list[PhaseRecord]]:
        found: dict[str, list[PhaseRecord]] = {}
        for record in self.phases:
            found.setdefault(record.node, []).append(record)
        return found

    @cached_property
    def _port_index(self) -> dict[str, PortsRecord]:
        return {record.node: record for record in self.ports}

    @cached_property
    def _helper_index(self) -> dict[str, HelperRecord]:
        return {record.node: record for record in self.helpers}

    @cached_property
    def _target_index(self) -> dict[str, TargetRecord]:
        return {record.target: record for record in self.targets}

    def phase_of(self, node: str, endpoint: str) -> PhaseRecord | None:
        return self._phase_index.get((node, endpoint))

    def phases_of(self, node: str) -> tuple[PhaseRecord, ...]:
        return tuple(self._phases_by_node.get(node, ()))

    def ports_of(self, node: str) -> PortsRecord | None:
        return self._port_index.get(node)

    def power_of(self, node: str) -> PowerRecord | None:
        return next((record for record in self.power if record.node == node), None)

    def helper(self, node: str) -> HelperRecord:
        return self._helper_index.get(node) or HelperRecord(node, sent=Sent(made=self.made_epoch))

    def target(self, name: str) -> TargetRecord:
        return self._target_index.get(name) or TargetRecord(name, sent=Sent(made=self.made_epoch))
