"""The Snapshot: everything a decision may depend on, frozen, with one `now`.

It can be written down and replayed. Ages are as of `now`, by the reader's own clock.
"""

from dataclasses import dataclass
from enum import StrEnum

from mailward.model.clock import Moment
from mailward.model.orders import Outcome
from mailward.model.policy import Policy
from mailward.model.report import Report
from mailward.model.state import Pause, Request, State


@dataclass(frozen=True, slots=True)
class ObserverView:
    """A configured observer: its newest report (None: never heard) and how long ago it moved: not longer
    than `age_s`, and `still_s` at least, by our own clock when the store was last asked."""

    name: str
    votes: int
    report: Report | None
    age_s: float
    still_s: float = 0.0


class Standing(StrEnum):
    """What this daemon may do."""

    LEADING = "leading"
    FOLLOWING = "following"
    OBSERVING_ONLY = "observing-only"  # runs on a mail node with the local store: cut off, it would
    # withdraw the others


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads: the observer, its epoch, and the nonce of its process. No two processes share a nonce: a
    daemon that was started again is somebody else."""

    name: str
    epoch: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What a commit is checked against: the epoch, and the versions read of state and pause."""

    epoch: int
    state: int
    pause: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The input of `decide`. Actions may start until `may_act_until_s` of boot time. By our own clock the
    state has not changed for `unchanged_s`; `leader` is who led when it was read, None where the store does
    not tell."""

    now: Moment
    policy: Policy
    state: State
    versions: Versions
    standing: Standing
    may_act_until_s: float
    observers: tuple[ObserverView, ...]
    outcomes: tuple[Outcome, ...] = ()
    requests: tuple[Request, ...] = ()
    pause: Pause | None = None
    unchanged_s: float = 0.0
    leader: Leader | None = None
