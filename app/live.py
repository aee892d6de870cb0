"""What the surfaces need of a running daemon: one consistent view, a dry run, and leaving entries.

The HTTP API, the metrics and the status never reach into the loop. They take a `View`, which is
frozen, so that one answer never mixes two rounds of the loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailward.app.certificates import Lasting
from mailward.app.status import RungTried
from mailward.controller.lease import Kept
from mailward.model.clock import Moment
from mailward.model.decision import Decision
from mailward.model.ports import Commit
from mailward.model.snapshot import Snapshot
from mailward.model.state import Pause, Request

STALLED_S = 30.0
"""Work that has not gone round for so long stands still: the daemon is not ready, and neither systemd hears
that it lives nor is the kernel's watchdog petted."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the daemon started. `last_step_s` is how long the newest step of the loop took."""

    steps: int = 0
    last_step_s: float = 0.0
    commits: Mapping[Commit, int] = field(default_factory=dict)
    errors: int = 0
    orders_sent: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """One instant of a daemon. `snapshot` and `decision` are of the same, newest round; both None
    before the first. `not_ready` says why the daemon cannot do its work now, '' if it can.

    `may_act` says whether a lead would still count just now, `read_at` when the store was last read,
    `apart` of each observer that should be connected to directly why it is not, '' where it is. `rival`
    says that another process reports under our name. `lease` is that of the node beside us, `bound` why we
    have promised not to lead, or '' where we have not; `certificates` are this daemon's own."""

    observer: str
    started: Moment
    now: Moment
    snapshot: Snapshot | None = None
    decision: Decision | None = None
    not_ready: str = ""
    counters: Counters = field(default_factory=Counters)
    may_act: bool = True
    read_at: Moment | None = None
    apart: Mapping[str, str] = field(default_factory=dict)
    rival: bool = False
    lease: Kept | None = None
    bound: str = ""
    certificates: tuple[Lasting, ...] = ()


class Live(Protocol):
    """A running daemon, as the API sees it."""

    def view(self) -> View: ...

    def dry_run(self, request: Request) -> Decision:
        """What `decide` would answer if `request` lay in the store now. Changes nothing."""
        ...

    async def try_rungs(self, node: str) -> tuple[RungTried, ...]:
        """Try each rung of a node's ladder without harm, from here. StoreError before anything is known."""
        ...

    async def post(self, entry: Request | Pause | None) -> None:
        """Leave a request, set the pause, or lift it (None). StoreError where that fails."""
        ...
