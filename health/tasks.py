"""Tasks which do not die in silence: an error of ours is logged, and the task begins again.

Nothing is hidden by that: what a broken task should have refreshed goes stale, and stale is UNKNOWN.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

RESTART_S = 1.0


async def guarded(name: str, body: Callable[[], Awaitable[None]]) -> None:
    """Run `body` for ever; return only by cancellation."""
    while True:
        try:
            await body()
            log.error("%s ended, which it never should; it begins again", name)
        except Exception:
            log.exception("%s failed; it begins again in %.0f s", name, RESTART_S)
        await asyncio.sleep(RESTART_S)
