"""The ports: what the loop and the executor need of the outside, as Protocols.

Coordination, DnsTarget, Helper, Letters and LagSource each have one contract suite (`tests/contract`) that
every implementation passes. Implementations do not raise for expected failures: these are values. No
library's exception crosses a port.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mailward.model.clock import Moment
from mailward.model.dns import Applied, Change, RRset, ServerCheck, Unread, ZoneView
from mailward.model.fencing import PLAIN, FenceResult, HelperAnswer, NodeFacts, PortMap, Terms
from mailward.model.orders import Result
from mailward.model.replication import Lag
from mailward.model.snapshot import Leader, Standing, Versions
from mailward.model.state import Pause, Request, State
from mailward.model.token import Sent, Token


class Clock(Protocol):
    def now(self) -> Moment: ...


class Commit(StrEnum):
    """A record's answer. UNKNOWN is re-read, never guessed."""

    COMMITTED = "COMMITTED"
    LOST = "LOST"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the store holds: state with its versions, pause, and the requests not yet answered. `leader` is
    None when nobody leads, and where the store does not tell."""

    state: State
    versions: Versions
    pause: Pause | None
    requests: tuple[Request, ...]
    leader: Leader | None = None


class Coordination(Protocol):
    """The store the daemons agree in. Errors that end the daemon are `StoreError`s."""

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        """Take up leadership if it is to be had; raises the epoch. Idempotent while leading. Who is not
        `willing` steps down, and leaves it to others. `over` is a leader whose process is gone: exactly that
        one is replaced, in one step; when another leads by then, nothing is changed. A store that ends the
        lead with the process may ignore it."""
        ...

    async def read(self) -> Recorded:
        """Read everything anew."""
        ...

    async def record(self, state: State, seen: Versions) -> Commit:
        """Write `state` only if epoch, state and pause still have the versions `seen`. StoreError when
        it certainly was not written and why; what else goes wrong is UNKNOWN."""
        ...

    def may_act_until_s(self) -> float:
        """Boot time until which an action may start; infinite for `local`, -inf when not leading."""
        ...

    async def post(self, entry: Request | Pause | None) -> None:
        """Leave a request, set the pause, or lift it (None). Works while the leader hangs."""
        ...


class DnsTarget(Protocol):
    """One primary of a zone, or a provider. `refuses_stale`: the server itself refuses an update
    whose `expected` token is no longer there."""

    name: str
    refuses_stale: bool

    async def read(self, keys: Sequence[tuple[str, str]]) -> ZoneView | Unread:
        """The token, and the RRsets of these (name, type) keys which exist."""
        ...

    async def claim(self, expected: Token | None, new: Token) -> Applied:
        """Replace the token; change nothing else."""
        ...

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        """All changes and the token, in one message, or nothing. `expected` not below `new` or of
        another store is STALE before anything is sent."""
        ...


class Renewer(Protocol):
    """The way to a node's `mailward-node` by which a lease is renewed."""

    async def renew(self, token: Token) -> HelperAnswer:
        """Let the lease of what is open begin anew, if `token` is the highest that the helper has obeyed.
        UNKNOWN may have been obeyed: the lease may have begun anew at any moment until the answer."""
        ...


class Helper(Renewer, Protocol):
    """A node's `mailward-node`: over SSH, beside us, or through the store and the daemon beside it."""

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer: ...

    async def claim(self, token: Token) -> HelperAnswer: ...

    async def status(self) -> NodeFacts | str:
        """The node's facts, or why they cannot be had."""
        ...


class Box(StrEnum):
    """Where a letter lies: with those that ask the daemon beside a node, or with its answers."""

    ASKS = "asks"
    ANSWERS = "answers"


class Letters(Protocol):
    """Letters between who asks and the daemon beside a node, through the store. All failures are
    `StoreError`; what was not answered may have been done. A letter goes with its writer's session at the
    latest."""

    async def write(self, box: Box, node: str, id: str, content: bytes) -> None:
        """Make a letter of ours, or replace its content."""
        ...

    async def remove(self, box: Box, node: str, id: str) -> None: ...

    async def changed(self, box: Box, node: str, id: str, known: bytes | None) -> bytes | None:
        """A letter's content as soon as it is not `known`; None is that of one that is not there."""
        ...

    async def names(self, box: Box, node: str, known: frozenset[str]) -> frozenset[str]:
        """The ids of all letters that are there as soon as they are not `known`."""
        ...


class Fence(Protocol):
    """What orders a node's client ports: its helper, and how that looks from outside."""

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult: ...

    async def claim(self, token: Token) -> HelperAnswer: ...


class PowerSwitch(Protocol):
    """A node's power. It remembers no token: an order that comes late is obeyed."""

    async def off(self) -> FenceResult:
        """CONFIRMED with `Scope.POWER` only when it was read back off; FAILED only when nothing was done;
        what was begun may still happen after UNKNOWN."""
        ...


class LagSource(Protocol):
    """Measures one node's replication; `kick` asks it to replicate waiting users now."""

    async def measure(self) -> Sequence[Lag]: ...

    async def kick(self) -> str:
        """'' when asked, else why it could not be."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing to one target achieved. Not `sent`: it was only read, and nothing was to be changed."""

    result: Result
    detail: str = ""
    sent: bool = True


class Publisher(Protocol):
    """One DNS target with its pipeline: read, diff, guard, apply, read again; and verification."""

    async def claim(self, token: Token, sent: Sent) -> Published:
        """AHEAD, and nothing is sent, when the target remembers a token that `sent` does not explain."""
        ...

    async def publish(self, token: Token, rrsets: Sequence[RRset]) -> Published: ...

    async def verify(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]: ...
