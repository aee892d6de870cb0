"""One order at a time: a lock on the directory in /run, held by the process, let go when it dies.

The directory itself is locked, not a file in it: that works when there is no room for a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.refusal import BUSY, Refused

_RETRY_S = 0.01


@contextlib.contextmanager
def held(run_dir: str, deadline: Deadline) -> Iterator[None]:
    """Hold the lock; `Refused` (busy) when it cannot be had before the deadline."""
    try:
        os.makedirs(run_dir, mode=0o700, exist_ok=True)
        handle = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused(BUSY, f"cannot lock {run_dir}: {error.strerror}; are you root?") from error
    try:
        while not _take(handle):
            if deadline.passed():
                raise Refused(BUSY, "another order is being carried out and does not end")
            time.sleep(_RETRY_S)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
