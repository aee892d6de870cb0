"""The host's watchdog, petted while the daemon's work goes round.

Whatever comes of a round, and to wait for the store is work, too: no host is reset for want of ZooKeeper, nor
for a fault of ours that only holds automation.
"""

import asyncio
import logging
from collections.abc import Callable

from mailward.app.live import STALLED_S
from mailward.app.watchdog import Watchdog, started
from mailward.configs.daemon import Watchdog as Section
from mailward.model.errors import ConfigError
from mailward.model.ports import Clock

log = logging.getLogger(__name__)

PET_EVERY_S = 1.0


def watchdog_of(section: Section | None) -> Watchdog | None:
    """Start the configured one. ConfigError where it cannot be had and is required."""
    if section is None:
        return None
    found = started(section.device, int(section.timeout_s))
    if isinstance(found, str):
        if section.required:
            raise ConfigError((f"watchdog.device: {found}; it is required",))
        log.warning("no watchdog: %s; who is stuck on this host stays so", found)
        return None
    log.info("watchdog %s resets this host when it is not petted for %d s", found.name, found.timeout_s)
    if not found.outlives:
        log.warning("watchdog %s stops when this process is killed", found.name)
    return found


def stop(watchdog: Watchdog) -> None:
    try:
        watchdog.close()
    except OSError as error:
        log.error("the watchdog cannot be stopped, and resets this host: %s", error.strerror)


async def keep(watchdog: Watchdog, turns: Callable[[], int], clock: Clock) -> None:
    """Pet it as long as `turns` moves; until cancelled. One that stands still may move again in time."""
    seen, moved_s, stuck, refused = turns(), clock.now().boot_s, False, False
    while True:
        now_s = clock.now().boot_s
        if turns() != seen:
            seen, moved_s, stuck = turns(), now_s, False
        if now_s - moved_s < STALLED_S:
            refused = _petted(watchdog, refused)
        elif not stuck:
            stuck = True
            log.critical("the controller is stuck: this host is reset within %d s", watchdog.timeout_s)
        await asyncio.sleep(PET_EVERY_S)


def _petted(watchdog: Watchdog, refused: bool) -> bool:
    try:
        watchdog.pet()
    except OSError as error:
        if not refused:
            log.error("the watchdog is not petted: %s", error.strerror)
        return True
    return False
