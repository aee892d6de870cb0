"""An in-memory `Coordination`, deterministic and without threads, for simulation and unit tests."""

from collections.abc import Callable
from dataclasses import replace

from mailward.model.errors import StoreBusy
from mailward.model.ports import Commit, Recorded
from mailward.model.snapshot import Leader, Standing, Versions
from mailward.model.state import Pause, Request, State


class MemoryStore:
    """The store and the one controller on it; `second` is another controller on the same store.

    `answers` is popped for each commit whose versions are right: (what is said, whether it is applied).
    `after_commit` is called after each applied one, before its answer is given."""

    def __init__(self, state: State, *, observe_only: bool = False) -> None:
        self.state = state
        self.pause: Pause | None = None
        self.requests: dict[str, Request] = {}
        self.versions = Versions(state.epoch, 1, 1)
        self.answers: list[tuple[Commit, bool]] = []
        self.after_commit: Callable[[], None] = lambda: None
        self.commits = 0
        self._observe_only = observe_only
        self._led = False

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        if not self._led:
            self._led = True
            self.versions = replace(self.versions, epoch=max(self.versions.epoch, self.state.epoch) + 1)
        if self._observe_only:
            return Standing.OBSERVING_ONLY
        return Standing.LEADING if willing else Standing.FOLLOWING

    async def read(self) -> Recorded:
        answered = {answer.request for answer in self.state.answers}
        waiting = tuple(r for key, r in sorted(self.requests.items()) if key not in answered)
        return Recorded(self.state, self.versions, self.pause, waiting)

    async def record(self, state: State, seen: Versions) -> Commit:
        if seen != self.versions or not self._led:
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

    def may_act_until_s(self) -> float:
        return float("inf") if self._led and not self._observe_only else float("-inf")

    async def post(self, entry: Request | Pause | None) -> None:
        if isinstance(entry, Request):
            self.requests[entry.id] = entry
            return
        self.pause = entry
        self.versions = replace(self.versions, pause=self.versions.pause + 1)

    def killed(self) -> None:
        """Its controller is gone; the next `lead` raises the epoch."""
        self._led = False

    def second(self) -> "MemoryStore":
        """What a second controller gets: the same store, refused while the first one leads."""
        return _Second(self)


class _Second(MemoryStore):
    def __init__(self, first: MemoryStore) -> None:
        super().__init__(first.state)
        self._first = first

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        if self._first._led and not self._led:
            raise StoreBusy("another controller runs on this store; there can be only one")
        self.state, self.versions = self._first.state, self._first.versions
        self.pause, self.requests = self._first.pause, self._first.requests
        return await super().lead(willing=willing, over=over)
