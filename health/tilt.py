"""Does this process see time pass as it does? If not, what it saw meanwhile is worth nothing.

A starved loop, a suspended host and a stepped clock all make answers look late that were not. The
test is a short sleep measured on three clocks: the loop's (CLOCK_MONOTONIC), boot time (counts
suspend) and the wall clock (a paused virtual machine often shows there only, when it is set right).
"""

from mailward.model.clock import Moment

TICK_S = 0.25


class Tilt:
    """Compares the clocks from tick to tick; tilted from a disagreement until `hold_s` after it."""

    def __init__(self, stall_s: float, hold_s: float) -> None:
        self._stall_s = stall_s
        self._hold_s = hold_s
        self._seen: tuple[float, Moment] | None = None
        self._until_s = float("-inf")

    def tick(self, loop_s: float, now: Moment, slept_s: float = TICK_S) -> str:
        """Take a reading after a sleep of `slept_s`; '' or what is wrong."""
        seen, self._seen = self._seen, (loop_s, now)
        if seen is None:
            return ""
        wrong = self._wrong(
            loop_s - seen[0], now.boot_s - seen[1].boot_s, now.wall_s - seen[1].wall_s, slept_s
        )
        if wrong:
            self._until_s = now.boot_s + self._hold_s
        return wrong

    def tilted(self, now: Moment) -> bool:
        return now.boot_s < self._until_s

    def _wrong(self, loop_s: float, boot_s: float, wall_s: float, slept_s: float) -> str:
        if loop_s - slept_s > self._stall_s:
            return f"this process stood still for {loop_s - slept_s:.1f} s"
        if abs(boot_s - loop_s) > self._stall_s:
            return f"this host was suspended for {boot_s - loop_s:.1f} s"
        if abs(wall_s - boot_s) > self._stall_s:
            return f"the wall clock jumped by {wall_s - boot_s:+.1f} s"
        return ""
