"""Writers: the units of `node.json` that write mail other than for clients, as LMTP and the queue manager do.

Stopped is what a unit's own status says, never that a command was run. A systemd unit that does not stop
in time is killed, with all its processes; a unit with commands of its own is not: its `stop` has to see to
that. All are stopped, or started, side by side.

Not here: what starts them again by itself (a timer, a socket, a person, a package's script), and processes
that a unit leaves behind on purpose (KillMode=process).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.commands import run, work
from mailward.fencing.node.config import Unit
from mailward.fencing.node.units import UNKNOWN, ask_command, ask_systemd

STOP_S = 10.0
KILL_S = 3.0
START_S = 10.0
STOPPED = ("inactive", "failed")
_RUNNING = ("active",)
_ASK_S = 2.0
_PAUSE_S = 0.1


class Writers(NamedTuple):
    """`wanted`: "stopped" or "started"; `done`: whether all of them are, and there is one at all; `states`
    by name, as of `units`."""

    wanted: str
    done: bool
    states: dict[str, str]


def stop(units: Sequence[Unit]) -> Writers:
    """Stop them, also those which seem to be: one may be about to start. At most `STOP_S` + `KILL_S` and
    the time to ask."""
    states = _each(units, _stop)
    return Writers("stopped", are_stopped(states.values()), states)


def start(units: Sequence[Unit]) -> Writers:
    """Start them; at most `START_S` and the time to ask."""
    states = _each(units, _start)
    return Writers("started", all(state in _RUNNING for state in states.values()), states)


def are_stopped(states: Iterable[str]) -> bool:
    """Of none at all it cannot be said: where nobody has listed the writers, they must not seem to be."""
    known = list(states)
    return bool(known) and all(state in STOPPED for state in known)


def _stop(unit: Unit) -> str:
    if unit.systemd is None:
        work(unit.stop, STOP_S)
        return _until(unit, STOPPED, Deadline(KILL_S))
    work(["systemctl", "stop", "--", unit.systemd], STOP_S)
    state = _state(unit)
    if state in STOPPED:
        return state
    run(["systemctl", "kill", "-s", "KILL", "--", unit.systemd], timeout_s=_ASK_S)
    return _until(unit, STOPPED, Deadline(KILL_S))


def _start(unit: Unit) -> str:
    deadline = Deadline(START_S)
    work(["systemctl", "start", "--", unit.systemd] if unit.systemd else unit.start, START_S)
    return _until(unit, _RUNNING, deadline)


def _until(unit: Unit, wanted: Sequence[str], deadline: Deadline) -> str:
    """The unit's state as soon as it is one of `wanted`, or at the deadline."""
    while (state := _state(unit)) not in wanted and not deadline.passed():
        time.sleep(_PAUSE_S)
    return state


def _state(unit: Unit) -> str:
    facts = ask_systemd([unit], _ASK_S)[unit.name] if unit.systemd else ask_command(unit, _ASK_S)
    return str(facts["state"])


def _each(units: Sequence[Unit], do: Callable[[Unit], str]) -> dict[str, str]:
    states = {unit.name: UNKNOWN for unit in units}

    def note(unit: Unit) -> None:
        states[unit.name] = do(unit)

    threads = [threading.Thread(target=note, args=(unit,), name=unit.name) for unit in units]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return states
