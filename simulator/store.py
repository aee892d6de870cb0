"""A coordination store that behaves like ZooKeeper: sessions, an ephemeral leader, guarded commits.

`Ensemble` is the truth, one for the world; `Session` is what one controller has of it, a `Coordination`.
Requests and replies may be lost on the way, so an answer may be UNKNOWN and applied. A session lives as
long as the ensemble hears of it; its end takes the leader away, and the next one raises the epoch. What a
client believes of its session is only what was acknowledged: its right to act ends a session's timeout, less
a margin, after it sent the last acknowledged heartbeat but one (a write just acknowledged may not yet have
touched the session).
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mailward.controller.coordination.contact import Contact, Heard
from mailward.model.errors import StoreError
from mailward.model.policy import Observer
from mailward.model.ports import Commit, Recorded
from mailward.model.report import Report
from mailward.model.snapshot import Leader, ObserverView, Standing, Versions
from mailward.model.state import Pause, Request, State
from mailward.simulator import virtual
from mailward.simulator.network import HostClock, Network

T = TypeVar("T")

TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Ephemeral(Leader):
    """The leader as it is stored: it ends with its `session`."""

    session: int

    @property
    def told(self) -> Leader:
        """What others read of it."""
        return Leader(self.name, self.epoch, self.nonce)


@dataclass(frozen=True, slots=True)
class Written:
    """A commit: by which session, while who led, on which versions it was decided and which it found."""

    before: State
    after: State
    session: int
    leader: Ephemeral | None
    seen: Versions
    found: Versions


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup of the store holds, and when it was taken."""

    state: State
    epoch: int
    state_version: int
    at_s: float


class NoQuorum(Exception):
    """Whoever asks finds nobody that may answer."""


class SessionExpired(Exception):
    """The ensemble no longer knows this session."""


@dataclass
class Ensemble:
    """Everything stored. Methods are single steps, as a `multi` is; they run where the ensemble is.

    `history` holds who began to lead, and when. Without a quorum nothing is answered (`has_quorum`)."""

    state: State
    now_s: Callable[[], float]
    session_timeout_s: float = 10.0
    has_quorum: bool = True
    epoch: int = 0
    leader: Ephemeral | None = None
    state_version: int = 1
    pause: Pause | None = None
    pause_version: int = 1
    requests: dict[str, Request] = field(default_factory=dict)
    reports: dict[str, tuple[int, Report]] = field(default_factory=dict)
    reported: dict[int, int] = field(default_factory=dict)
    history: list[tuple[float, Ephemeral]] = field(default_factory=list)
    on_commit: Callable[["Written"], None] = lambda _written: None
    _sessions: dict[int, float] = field(default_factory=dict)
    _next_session: int = 1

    def expire(self) -> None:
        """Once a tick: sessions not heard of for their timeout end. Without a quorum none does, and when it
        returns all begin anew."""
        if not self.has_quorum:
            self._sessions = dict.fromkeys(self._sessions, self.now_s())
            return
        late = self.now_s() - self.session_timeout_s
        self._sessions = {key: heard for key, heard in self._sessions.items() if heard > late}
        if self.leader is not None and self.leader.session not in self._sessions:
            self.leader = None

    def open(self) -> int:
        session, self._next_session = self._next_session, self._next_session + 1
        self._sessions[session] = self.now_s()
        return session

    def touch(self, session: int) -> None:
        if session not in self._sessions:
            raise SessionExpired
        self._sessions[session] = self.now_s()

    def close(self, session: int) -> None:
        """A clean goodbye: what hangs on the session is gone at once."""
        self._sessions.pop(session, None)
        if self.leader is not None and self.leader.session == session:
            self.leader = None

    def resign(self, session: int) -> None:
        """The session lives on, and leads no more."""
        self.touch(session)
        if self.leader is not None and self.leader.session == session:
            self.leader = None

    def elect(self, session: int, name: str, nonce: str, over: Leader | None = None) -> Ephemeral:
        """Create the leader if there is none, or if it is exactly the one it is to be created `over`; who
        leads now."""
        self.touch(session)
        if self.leader is None or self.leader.told == over:
            self.epoch = max(self.epoch, self.state.epoch) + 1
            self.leader = Ephemeral(name, self.epoch, nonce, session)
            self.history.append((self.now_s(), self.leader))
        return self.leader

    def read(self, session: int) -> tuple[Recorded, Ephemeral | None, dict[str, tuple[int, Report]]]:
        self.touch(session)
        waiting: tuple[Request, ...] = ()
        if self.requests:
            answered = {answer.request for answer in self.state.answers}
            waiting = tuple(r for key, r in sorted(self.requests.items()) if key not in answered)
        versions = Versions(self.epoch, self.state_version, self.pause_version)
        told = self.leader.told if self.leader is not None else None
        return Recorded(self.state, versions, self.pause, waiting, told), self.leader, dict(self.reports)

    def record(self, session: int, state: State, seen: Versions) -> Commit:
        """Checks who leads, and that epoch, state and pause are as they were read; then writes: one
        transaction."""
        self.touch(session)
        found = Versions(self.epoch, self.state_version, self.pause_version)
        if not self.allows(session, seen, found):
            return Commit.LOST
        before, self.state = self.state, state
        self.state_version += 1
        for answer in state.answers:
            self.requests.pop(answer.request, None)
        self.on_commit(Written(before, state, session, self.leader, seen, found))
        return Commit.COMMITTED

    def allows(self, session: int, seen: Versions, found: Versions) -> bool:
        """The guard of every write: by who leads, in its epoch, on what it has read."""
        leader = self.leader
        leads = leader is not None and (leader.session, leader.epoch) == (session, self.epoch)
        return leads and seen == found

    def backup(self) -> "Backup":
        return Backup(self.state, self.epoch, self.state_version, self.now_s())

    def restore(self, backup: "Backup") -> None:
        """As it was then: nobody's session is known any more."""
        self.state, self.epoch, self.state_version = backup.state, backup.epoch, backup.state_version
        self._sessions.clear()
        self.leader = None

    def report(self, session: int, name: str, report: Report) -> None:
        """What one process sends arrives in its order: an older one that comes later was overwritten."""
        self.touch(session)
        if self.reported.get(session, -1) > report.seq:
            return
        self.reported[session] = report.seq
        seq = self.reports[name][0] + 1 if name in self.reports else 1
        self.reports[name] = (seq, report)

    def post(self, entry: Request | Pause | None) -> None:
        if isinstance(entry, Request):
            self.requests[entry.id] = entry
            return
        self.pause = entry
        self.pause_version += 1


@dataclass(frozen=True, slots=True)
class Pace:
    """A client's times, seconds; `margin_s` is for drift and scheduling."""

    heartbeat_s: float = 2.0
    call_s: float = 1.5
    margin_s: float = 1.0


class Session:
    """One controller's way to the ensemble; `host` is where it runs, `where` the ensemble's host, `nonce` the
    process it belongs to."""

    def __init__(
        self, name: str, ensemble: Ensemble, network: Network, host: str, where: str, clock: HostClock,
        observers: Sequence[Observer], nonce: str, *, may_lead: bool = True, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._ensemble = ensemble
        self._network = network
        self._host = host
        self._where = where
        self._clock = clock
        self._observers = tuple(observers)
        self._nonce = nonce
        self._may_lead = may_lead
        self._pace = pace or Pace()
        self._session: int | None = None
        self._led: Ephemeral | None = None
        self._stands = False  # in the ensemble, when it was last read
        self._contact = self._new_contact()
        self._heard: Heard[int] = Heard()

    async def run(self) -> None:
        """The heartbeat: a write, and the only proof of contact."""
        while True:
            await self._beat()
            await virtual.sleep(self._pace.heartbeat_s)

    async def _beat(self) -> None:
        sent_s = self._now_s()
        try:
            if self._session is None:
                self._session = await self._ask(self._ensemble.open)
            else:
                await self._in_session(self._ensemble.touch)
        except StoreError:
            return
        self._contact.acknowledged(sent_s)

    @property
    def in_touch(self) -> bool:
        """Whether it is certain just now that the ensemble knows us: only then it may lead."""
        return self._session is not None and self._now_s() < self._deadline_s()

    # Coordination

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        if not willing:
            await self._step_down()
            return Standing.FOLLOWING
        if not self._may_lead or not self.in_touch:
            return Standing.FOLLOWING
        if self._led is None:
            try:
                leader = await self._in_session(
                    lambda session: self._ensemble.elect(session, self.name, self._nonce, over)
                )
            except StoreError:
                return Standing.FOLLOWING
            if leader.session == self._session:
                self._led = leader
        return Standing.LEADING if self._led is not None else Standing.FOLLOWING

    async def _step_down(self) -> None:
        """Not leading from now on, whatever the ensemble hears of it."""
        if self._led is None and not self._stands:
            return
        self._led = None
        with contextlib.suppress(StoreError):
            await self._in_session(self._ensemble.resign)

    async def read(self) -> Recorded:
        asked_s = self._now_s()
        recorded, leader, reports = await self._in_session(self._ensemble.read)
        self._heard.read(asked_s, reports, self._now_s())
        if leader != self._led:
            self._led = None
        self._stands = leader is not None and leader.session == self._session
        return recorded

    async def recorded(self) -> State:
        """The state alone, as `read` has it."""
        return (await self._in_session(self._ensemble.read))[0].state

    async def record(self, state: State, seen: Versions) -> Commit:
        try:
            return await self._in_session(lambda session: self._ensemble.record(session, state, seen))
        except StoreError:
            return Commit.UNKNOWN

    def may_act_until_s(self) -> float:
        return self._deadline_s() if self._led is not None else float("-inf")

    async def post(self, entry: Request | Pause | None) -> None:
        await self._ask(lambda: self._ensemble.post(entry))

    # reports

    async def publish(self, report: Report) -> None:
        await self._in_session(lambda session: self._ensemble.report(session, self.name, report))

    def views(self) -> tuple[ObserverView, ...]:
        """Every configured observer's newest report, and how old it may be."""
        return self._heard.views(self._observers, self._now_s())

    async def leave(self) -> None:
        """A clean stop: the next one may lead at once."""
        if self._session is not None:
            await self._in_session(self._ensemble.close)

    # calls

    def _now_s(self) -> float:
        return self._clock.boot_s()

    def _new_contact(self) -> Contact:
        return Contact(TICK_S / 2, self._pace.margin_s)

    def _deadline_s(self) -> float:
        return self._contact.deadline_s(self._ensemble.session_timeout_s)

    async def _in_session(self, step: Callable[[int], T]) -> T:
        """Within the session; one that has expired is forgotten, and with it the lead."""
        session = self._session
        if session is None:
            raise StoreError("there is no session with the store")
        try:
            return await self._ask(lambda: step(session))
        except SessionExpired:
            self._session, self._led = None, None
            self._contact = self._new_contact()
            raise StoreError("the session with the store has expired") from None

    async def _ask(self, step: Callable[[], T]) -> T:
        """One request, within its deadline; StoreError when nothing came back: it may have been done."""

        def there() -> T:
            if not self._ensemble.has_quorum:
                raise NoQuorum
            return step()

        try:
            return await self._network.call(self._host, self._where, there, self._pace.call_s)
        except TimeoutError:
            raise StoreError(f"the store did not answer within {self._pace.call_s:g} s") from None
        except NoQuorum:
            raise StoreError("the store has no quorum") from None
