"""The daemon with a trap: the process is struck by a signal at a chosen step of an operation.

The trap is a file, `{"kind", "step", "signal"}`, that every daemon of a cluster looks at when it has recorded
a state and has sent nothing yet: whoever leads springs it and is struck. One that is stopped stands for all
that takes time. Or `kind` is an action's and `step` is ACKNOWLEDGED: who sent it is struck when it was done,
and has recorded nothing of that.

Without its sense of lateness it believes that it leads from its first election on, and that nothing is ever
too late: what keeps it from doing harm are then those that it sends to. Its second trap strikes before it
records.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mailward.app.process import main
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.executor import Executor
from mailward.model.orders import Order, Outcome, Result
from mailward.model.ports import Commit
from mailward.model.snapshot import Standing, Versions
from mailward.model.state import State

ACKNOWLEDGED = "acknowledged"
TRAP = "MAILWARD_LAB_TRAP"
WITHOUT_LATENESS = "MAILWARD_LAB_WITHOUT_LATENESS"


PROGRAM = (sys.executable, "-m", "tests.lab.harness.trapped")


class Trap:
    """As a test lays it; `file` is what the daemons are told of."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def set(self, kind: str, step: str, number: signal.Signals) -> None:
        self.file.with_suffix(".sprung").unlink(missing_ok=True)
        laid = self.file.with_suffix(".laid")
        laid.write_text(json.dumps({"kind": kind, "step": step, "signal": number}))
        laid.rename(self.file)

    @property
    def is_sprung(self) -> bool:
        return self.file.with_suffix(".sprung").exists()


def lay(trap: Path) -> None:
    """Every state recorded is compared with the trap, and every action that was done."""
    record, dispatch = ZooKeeperStore.record, Executor._dispatch

    async def trapped(store: ZooKeeperStore, state: State, seen: Versions) -> Commit:
        commit = await record(store, state, seen)
        if commit is Commit.COMMITTED and state.operation is not None:
            _strike(trap, state.operation.kind, state.operation.step)
        return commit

    def answered(executor: Executor, order: Order) -> Coroutine[Any, Any, Outcome]:
        async def carried_out() -> Outcome:
            outcome = await dispatch(executor, order)
            if outcome.result is Result.DONE:
                _strike(trap, order.action.kind, ACKNOWLEDGED)
            return outcome

        return carried_out()

    setattr(ZooKeeperStore, "record", trapped)  # noqa: B010 - of another signature for the type checker
    setattr(Executor, "_dispatch", answered)  # noqa: B010


def _strike(trap: Path, kind: str, step: str) -> None:
    try:
        wanted: dict[str, Any] = json.loads(trap.read_bytes())
    except FileNotFoundError:
        return
    if (wanted["kind"], wanted["step"]) == (kind, step):
        trap.rename(trap.with_suffix(".sprung"))  # by the first one only
        os.kill(os.getpid(), wanted["signal"])


def forget_lateness(told: Path) -> None:
    """Once it has led it believes that it leads, and that nothing is too late; what comes of what it sends is
    written to `told`, a line of JSON each."""
    lead, record, dispatch = ZooKeeperStore.lead, ZooKeeperStore.record, Executor._dispatch
    before = told.with_suffix(".trap")

    def tell(receiver: str, result: str, detail: str = "") -> None:
        line = {"pid": os.getpid(), "to": receiver, "result": result, "detail": detail}
        with told.open("a") as lines:
            lines.write(json.dumps(line) + "\n")

    async def always(store: ZooKeeperStore, **how: Any) -> Standing:
        standing = await lead(store, **how)
        believes = standing is Standing.LEADING or getattr(store, "has_led", False)
        store.has_led = believes  # type: ignore[attr-defined]
        return Standing.LEADING if believes else standing

    async def insisting(store: ZooKeeperStore, state: State, seen: Versions) -> Commit:
        read, led = store._read, store._led
        if state.operation is not None:
            _strike(before, state.operation.kind, state.operation.step)
        for _ in range(100):
            store._read, store._led = read, led
            commit = await record(store, state, seen)
            if commit is not Commit.UNKNOWN:
                break
            await asyncio.sleep(0.1)
        tell("zookeeper", commit)
        return commit

    def told_of(executor: Executor, order: Order) -> Coroutine[Any, Any, Outcome]:
        async def carried_out() -> Outcome:
            outcome = await dispatch(executor, order)
            tell(order.action.kind, outcome.result, outcome.detail)
            return outcome

        return carried_out()

    instead: tuple[tuple[type, str, Callable[..., Any]], ...] = (
        (ZooKeeperStore, "lead", always),
        (ZooKeeperStore, "record", insisting),
        (ZooKeeperStore, "may_act_until_s", lambda _store: float("inf")),
        (Executor, "_left_s", lambda _executor, _order: 60.0),
        (Executor, "_dispatch", told_of),
    )
    for kind, name, function in instead:
        setattr(kind, name, function)


if __name__ == "__main__":
    if WITHOUT_LATENESS in os.environ:
        forget_lateness(Path(os.environ[WITHOUT_LATENESS]))
    lay(Path(os.environ[TRAP]))
    sys.exit(main(Path(sys.argv[-1]), "text", verbose=False))  # ... run --config FILE
