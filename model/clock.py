"""Time as values: boot time for durations, wall time for people.

CLOCK_BOOTTIME counts suspend and never jumps, but means nothing after a reboot or on another host;
so a recorded `Moment` carries the boot it belongs to, and an age across boots falls back to the wall
clock. Nothing that safety depends on is decided by such a fallback.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant: seconds of CLOCK_BOOTTIME in boot `boot_id`, and seconds since the Unix epoch."""

    boot_id: str
    boot_s: float
    wall_s: float

    def age_s(self, now: "Moment") -> float:
        """Seconds from this moment to `now`, never negative."""
        if self.boot_id == now.boot_id:
            return max(0.0, now.boot_s - self.boot_s)
        return max(0.0, now.wall_s - self.wall_s)
