"""Time that passes only when everybody waits: seconds of watching in microseconds, exact to the digit."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from mailward.model.clock import Moment

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Instead of waiting for I/O, lets the time pass that would have been waited."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for ever")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._selector_ = _Selector()
        super().__init__(self._selector_)

    def time(self) -> float:
        return self._selector_.now


class LoopClock:
    """`model.ports.Clock` on the running loop's time; `boot_off_s` and `wall_off_s` make it jump."""

    def __init__(self) -> None:
        self.boot_off_s = 0.0
        self.wall_off_s = 0.0

    def now(self) -> Moment:
        loop_s = asyncio.get_running_loop().time()
        boot_s = loop_s + self.boot_off_s
        return Moment("boot", boot_s, 1_800_000_000.0 + boot_s + self.wall_off_s)


def run(body: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body)
