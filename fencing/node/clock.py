"""CLOCK_BOOTTIME: it counts a suspended machine's time and never jumps."""

from __future__ import annotations

import time


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deadline:
    """A point in boot time that work must not outlast."""

    def __init__(self, seconds: float) -> None:
        self.at_s = boottime_s() + seconds

    def left_s(self) -> float:
        return max(0.0, self.at_s - boottime_s())

    def passed(self) -> bool:
        return boottime_s() >= self.at_s
