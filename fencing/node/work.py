"""What takes time beside the ports: writers are stopped and started, hooks are run.

It is done without the lock of orders, so that neither a closing order nor a renewal waits for it, and
under one of its own, so that what two orders want is never done at once. Whoever has waited for that lock
looks whether its order is still the latest: what a later order has stopped is not started again by an
earlier one, nor the other way round.

Not here: a helper that is killed leaves behind what it has started, without a deadline.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mailward.fencing.node import writers
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.hooks import HookDone, not_run, run_hook
from mailward.fencing.node.lock import held
from mailward.fencing.node.refusal import HOOK_FAILED, Refused
from mailward.fencing.node.writers import Writers

WAIT_S = 15.0


class Done(NamedTuple):
    """What was done beside the ports."""

    writers: Writers | None = None
    hook: HookDone | None = None


NOTHING = Done()


class Work:
    """`check` raises `Refused` when a later order has been obeyed."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config

    @contextmanager
    def alone(self, check: Callable[[], object]) -> Iterator[None]:
        """Nobody else works meanwhile; `Refused` (busy) when somebody does and does not end."""
        with held(os.path.join(self._config.run_dir, "work"), Deadline(WAIT_S)):
            check()
            yield

    def prepare(self, hook: str | None, start: bool) -> Done:
        """Before ports open: `Refused` (hook-failed) when that is not verified. A writer that does not start
        keeps nothing closed: users can read meanwhile, and what is to be delivered waits."""
        ran = run_hook(hook, self._config) if hook else None
        if ran and not ran.done:
            raise Refused(
                HOOK_FAILED, f"{ran.name}: {ran.detail}; the ports are left as they were", Done(hook=ran)
            )
        return Done(writers.start(self._config.writing) if start else None, ran)

    def follow(self, stop: bool, hook: str | None) -> Done:
        """After ports have closed. A hook may count on it that no writer runs."""
        stopped = writers.stop(self._config.writing) if stop else None
        if hook and stopped and not stopped.done:
            return Done(stopped, not_run(hook, self._config, "not all writers have stopped"))
        return Done(stopped, run_hook(hook, self._config) if hook else None)

    def not_followed(self, stop: bool, hook: str | None) -> Done:
        """The same where another order's work does not end."""
        ran = not_run(hook, self._config, "another order is being carried out") if hook else None
        return Done(Writers("stopped", False, {}) if stop else None, ran)
