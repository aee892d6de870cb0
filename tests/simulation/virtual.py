"""An event loop on virtual time: a wait takes no time, and nobody outside can be waited for."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from mailward.model.clock import Moment

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for the world it moves the clock; nothing to wait for is a deadlock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError(f"deadlock at {self.now:.3f} s: nothing is due and nothing will ever happen")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._world = _NoWaiting()
        super().__init__(self._world)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._world.now

    def run_in_executor(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("threads have no virtual time")


class VirtualClock:
    """The virtual loop's time as `Moment`s of one boot."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> Moment:
        return Moment("virtual", self._loop.time(), 1_700_000_000.0 + self._loop.time())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
