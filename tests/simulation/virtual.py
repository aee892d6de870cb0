"""Virtual time for tests with one controller: the simulator's loop, and its time as `Moment`s of one boot."""

import asyncio

from mailward.model.clock import Moment
from mailward.simulator.virtual import run

__all__ = ["VirtualClock", "run"]


class VirtualClock:
    """A `model.ports.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> Moment:
        return Moment("virtual", self._loop.time(), 1_700_000_000.0 + self._loop.time())
