"""Waiting with a deadline; the only place of the lab that polls."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str, deadline_s: float, every_s: float = 0.1) -> float:
    """Poll until `condition()` is true; returns the seconds it took. TimeoutError names `what` otherwise."""
    started = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - started
        if time.monotonic() - started > deadline_s:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        time.sleep(every_s)


def wait_clear(hindrance: Callable[[], str], what: str, deadline_s: float, every_s: float = 0.2) -> float:
    """Poll until `hindrance()` is ''; returns the seconds it took. TimeoutError names `what`, and what was in
    its way last."""
    started = time.monotonic()
    while found := hindrance():
        if time.monotonic() - started > deadline_s:
            raise TimeoutError(f"not within {deadline_s:g} s: {what} ({found})")
        time.sleep(every_s)
    return time.monotonic() - started
