"""From what the replicator says to a lag that can be believed. Pure: times are arguments.

`observe` takes the cheap summary, `study` the list of every user where the summary is not enough,
`figure` gives the lag. What they know stands in `Memory`, which lives as long as one replicator process.

- **Waiting** is a user with a priority, failed, or in a dsync slot. How long: since its own last
  success, or since we last knew that it did not wait, whichever is later. A user idle for a day who
  got a message just now is not a day behind; one in a slot of a black-holed peer ages with the clock.
- **Restarted** replicators look clean and may have forgotten everything. One is believed again when
  each user it knows has either been synchronised by it since, or waits (and so is counted). After our
  own kick that is so by itself: it made every user wait. Otherwise the list must show it, which takes
  somebody's kick or a full sync interval. A reload, which forgets nothing, cannot be told from a
  crash and is treated as one.
- **First met**, a replicator is believed unless its master has seen one crash, or full resyncs wait,
  as they do where its memory was empty. The blind spot: a node that lost power before we first looked.

Every doubt is resolved towards more lag. Left out: changes that never reached the replicator (a dead
aggregator), and users the peer does not know, whom the replicator drops. Only a canary sees those.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mailward.replication.sources.replicator import Overview, Process, User

LIST_SHARE = 20
MAX_PAUSE_S = 60.0
"""A list is asked for again only after LIST_SHARE times what the last try took, so that it costs the
server 5 % of its time, but MAX_PAUSE_S after it at the latest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The summary, and the users in dsync slots; who answered is asked last, so that what a process
    said before it died is not taken for the word of the next."""

    asked_s: float
    answered_s: float
    overview: Overview
    busy: frozenset[str]
    process: Process

    @property
    def waiting(self) -> int:
        """At most: a user in a slot may have changed again, and then is in the queue as well."""
        return self.overview.waiting + len(self.busy)


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of users, of at most as many as the reader keeps; `busy` was read after them."""

    asked_s: float
    took_s: float
    users: Mapping[str, User]
    busy: frozenset[str]
    process: Process
    complete: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of one replicator process.

    `since` holds the users who waited when that was last known, at `baseline_s`, and since when each
    waits at most (None: nobody can say). An unproven replicator does not say who waits, so it gives
    no baseline. `unproven` counts those a restart may have forgotten.
    """

    process: Process
    met_s: float
    proven: bool
    sample: Sample
    baseline_s: float | None = None
    since: Mapping[str, float | None] = field(default_factory=dict)
    listed_s: float | None = None
    list_cost_s: float = 0.0
    kicked: bool = False
    unproven: int | None = None
    read: int = 0
    complete: bool = True

    @property
    def waiting(self) -> int:
        """A list may be newer than the summary, and show more."""
        return max(self.sample.waiting, len(self.since))


@dataclass(frozen=True, slots=True)
class Figure:
    """A lag; `seconds` is None when it is unknown, and `detail` then says why."""

    seconds: float | None
    mailboxes: int
    failed: int
    detail: str = ""


def observe(memory: Memory | None, sample: Sample) -> Memory:
    """Take in a summary."""
    if memory is None:
        trusted = not sample.process.crashed and sample.overview.full_resync == 0
        memory = Memory(sample.process, sample.answered_s, trusted, sample)
    elif not sample.process.continues(memory.process):
        memory = Memory(sample.process, sample.answered_s, False, sample)
    proven = memory.proven or memory.kicked
    memory = replace(memory, process=sample.process, sample=sample, proven=proven)
    if proven and sample.waiting == 0:
        return replace(memory, baseline_s=sample.asked_s, since={})
    return memory


def wants_listing(memory: Memory, now_s: float, every_s: float) -> bool:
    """Whether the summary alone leaves the lag open: not proven, or somebody waits for long."""
    pause_s = min(MAX_PAUSE_S, max(every_s, LIST_SHARE * memory.list_cost_s))
    if memory.listed_s is not None and now_s - memory.listed_s < pause_s:
        return False
    if not memory.proven:
        return True
    if memory.waiting == 0:
        return False
    return memory.baseline_s is None or now_s - memory.baseline_s >= every_s


def kicked(memory: Memory) -> Memory:
    """Note an answered kick. Whether this process got it, the next summary tells."""
    return replace(memory, kicked=True, listed_s=None)


def give_up(memory: Memory, asked_s: float, took_s: float) -> Memory:
    """Note that a list was asked for in vain: that costs time as well."""
    return replace(memory, listed_s=asked_s + took_s, list_cost_s=took_s)


def study(memory: Memory, listing: Listing) -> Memory:
    """Take in a list; one that another process gave is worth nothing."""
    if not listing.process.continues(memory.process):
        return memory
    busy = listing.busy | memory.sample.busy
    waiting = [name for name, user in listing.users.items() if user.waiting or name in busy]
    since = {name: _since(memory, listing, name) for name in waiting}
    unproven = _count_unproven(memory.met_s, listing, since.keys())
    proven = memory.proven or unproven == 0
    return replace(
        memory,
        process=listing.process,
        proven=proven,
        baseline_s=listing.asked_s if proven and listing.complete else memory.baseline_s,
        since=since,
        listed_s=listing.asked_s + listing.took_s,
        list_cost_s=listing.took_s,
        unproven=unproven,
        read=len(listing.users),
        complete=listing.complete,
    )


def _success_s(listing: Listing, user: User) -> float | None:
    """When the user was last synchronised, at the earliest: ages come in whole seconds."""
    if user.success_age_s is None:
        return None
    return listing.asked_s - user.success_age_s - 1.0


def _since(memory: Memory, listing: Listing, name: str) -> float | None:
    carried = memory.since.get(name, memory.baseline_s)
    bounds = (carried, _success_s(listing, listing.users[name]))
    return max((bound for bound in bounds if bound is not None), default=None)


def _count_unproven(met_s: float, listing: Listing, waiting: Iterable[str]) -> int:
    counted = set(waiting)
    others = (user for name, user in listing.users.items() if name not in counted)
    successes = (_success_s(listing, user) for user in others)
    return sum(success is None or success < met_s for success in successes)


def figure(memory: Memory, now_s: float) -> Figure:
    """The lag now, by what is known."""
    overview = memory.sample.overview
    failed = overview.failed + overview.waiting_failed
    if overview.known == 0:
        return Figure(None, 0, 0, "the replicator knows no users: can its userdb list them?")
    if not memory.proven:
        return Figure(None, memory.waiting, failed, _unproven(memory, now_s))
    if memory.waiting == 0:
        return Figure(0.0, 0, 0)
    starts = list(memory.since.values()) or [memory.baseline_s]
    if None in starts:
        never = starts.count(None)
        return Figure(None, memory.waiting, failed, f"no telling since when {never} mailboxes wait")
    oldest_s = min(start for start in starts if start is not None)
    return Figure(max(0.0, now_s - oldest_s), memory.waiting, failed, _about(memory))


def _unproven(memory: Memory, now_s: float) -> str:
    ago = f"the replicator restarted, first seen {now_s - memory.met_s:.0f} s ago"
    if memory.unproven is None:
        return f"{ago}, and its users have not been read yet"
    return f"{ago}: {memory.unproven} of {memory.read} mailboxes not synchronised since"


def _about(memory: Memory) -> str:
    if memory.complete:
        return ""
    return f"by the first {memory.read} of {memory.sample.overview.known} mailboxes"
