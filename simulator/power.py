"""Power: a node's management board, on a host of its own, and the port `PowerSwitch` to it.

It obeys whoever asks, however late: it knows no tokens. Off takes some seconds, and is read back.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from mailward.model.fencing import FenceOutcome, FenceResult, Scope
from mailward.simulator import virtual
from mailward.simulator.network import Network

TAKES_S = (0.5, 7.0)
POLL_S = 1.0


@dataclass
class Board:
    """`switch_off` stops the node; `is_on` tells. One that does not work answers nobody."""

    name: str
    switch_off: Callable[[], None]
    is_on: Callable[[], bool]
    rng: random.Random
    works: bool = True

    def press(self) -> bool:
        """Off, a moment later."""
        if self.works:
            asyncio.get_running_loop().call_later(self.rng.uniform(*TAKES_S), self.switch_off)
        return self.works


class Switch:
    """From one host to a board."""

    def __init__(self, network: Network, source: str, board: Board, timeout_s: float) -> None:
        self._network = network
        self._source = source
        self._board = board
        self._timeout_s = timeout_s

    async def off(self) -> FenceResult:
        loop, board = asyncio.get_running_loop(), self._board
        until_s = loop.time() + self._timeout_s
        try:
            if not await self._network.call(self._source, board.name, board.press, self._timeout_s):
                return FenceResult(FenceOutcome.FAILED, detail="the board does not answer")
            while (left_s := until_s - loop.time()) > 0:
                on = await self._network.call(self._source, board.name, board.is_on, left_s)
                if not on:
                    return FenceResult(FenceOutcome.CONFIRMED, Scope.POWER, "off, read back")
                await virtual.sleep(POLL_S)
        except TimeoutError:
            pass
        detail = f"not read back off within {self._timeout_s:g} s"
        return FenceResult(FenceOutcome.UNKNOWN, detail=detail)
