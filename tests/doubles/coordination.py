"""An in-memory `Coordination`, deterministic and without threads, for simulation and unit tests.

`MemoryStore` is what is stored, one for all; `MemoryClient` is what one controller has of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mailward.model.errors import StoreBusy
from mailward.model.ports import Commit, Recorded
from mailward.model.snapshot import Leader, Standing, Versions
from mailward.model.state import Pause, Request, State


@dataclass(eq=False)
class MemoryStore:
    """Everything stored, and which client leads.

    `answers` is popped for each commit whose versions are right: (what is said, whether it is applied).
    `after_commit` is called after each applied one, before its answer is given."""

    state: State
    pause: Pause | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    answers: list[tuple[Commit, bool]] = field(default_factory=list)
    after_commit: Callable[[], None] = lambda: None
    commits: int = 0
    leader: "MemoryClient | None" = None
    versions: Versions = field(init=False)

    def __post_init__(self) -> None:
        self.versions = Versions(self.state.epoch, 1, 1)

    def elect(self, client: "MemoryClient") -> None:
        """The client leads from now on, in an epoch of its own; refused while another one does."""
        if self.leader is client:
            return
        if self.leader is not None:
            raise StoreBusy("another controller runs on this store; there can be only one")
        self.leader = client
        self.versions = replace(self.versions, epoch=max(self.versions.epoch, self.state.epoch) + 1)

    def read(self) -> Recorded:
        answered = {answer.request for answer in self.state.answers}
        waiting = tuple(r for key, r in sorted(self.requests.items()) if key not in answered)
        return Recorded(self.state, self.versions, self.pause, waiting)

    def record(self, client: "MemoryClient", state: State, seen: Versions) -> Commit:
        if seen != self.versions or self.leader is not client:
            return Commit.LOST
        said, applied = self.answers.pop(0) if self.answers else (Commit.COMMITTED, True)
        if applied:
            self.state = state
            self.versions = replace(self.versions, state=self.versions.state + 1)
            self.commits += 1
            for answer in state.answers:
                self.requests.pop(answer.request, None)
            self.after_commit()
        return said

    def post(self, entry: Request | Pause | None) -> None:
        if isinstance(entry, Request):
            self.requests[entry.id] = entry
            return
        self.pause = entry
        self.versions = replace(self.versions, pause=self.versions.pause + 1)


class MemoryClient:
    """One controller on a store."""

    def __init__(self, store: MemoryStore, *, observe_only: bool = False) -> None:
        self.store = store
        self._observe_only = observe_only
        self._willing = True

    @property
    def leads(self) -> bool:
        return self.store.leader is self

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        self.store.elect(self)
        self._willing = willing
        if self._observe_only:
            return Standing.OBSERVING_ONLY
        return Standing.LEADING if willing else Standing.FOLLOWING

    async def read(self) -> Recorded:
        return self.store.read()

    async def record(self, state: State, seen: Versions) -> Commit:
        return self.store.record(self, state, seen)

    def may_act_until_s(self) -> float:
        return float("inf") if self.leads and self._willing and not self._observe_only else float("-inf")

    async def post(self, entry: Request | Pause | None) -> None:
        self.store.post(entry)

    def killed(self) -> None:
        """Its process is gone; the next `lead` raises the epoch."""
        if self.leads:
            self.store.leader = None
