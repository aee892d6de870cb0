"""The real clock: CLOCK_BOOTTIME, which counts suspend and never jumps, and the wall clock."""

import time
from pathlib import Path

from mailward.model.clock import Moment


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown-boot"


class SystemClock:
    """This host's time as `Moment`s."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()

    def now(self) -> Moment:
        return Moment(self._boot_id, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
