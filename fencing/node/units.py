"""States of systemd units, or of services with a command of their own.

A restart in progress is told apart from a crash, because the first is no reason to move anybody:
systemd has a restart job, or restarts the unit by itself. A command says the state as the first word
on stdout; without a known word its exit code counts, as of init scripts (0 running, 3 stopped).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mailward.fencing.node.commands import run
from mailward.fencing.node.config import Unit

UNKNOWN = "unknown"
STATES = ("active", "inactive", "failed", "starting", "stopping", "restarting", UNKNOWN)

_STATE_OF = {
    "active": "active",
    "reloading": "active",
    "refreshing": "active",
    "inactive": "inactive",
    "failed": "failed",
    "activating": "starting",
    "deactivating": "stopping",
}
_STATE_OF_EXIT = {0: "active", 3: "inactive"}
_PROPERTIES = "Id,LoadState,ActiveState,SubState,StateChangeTimestampMonotonic"

UnitFacts = dict[str, Any]
"""{"state": one of STATES, "since_s": seconds or None}"""


def ask_systemd(units: Sequence[Unit], timeout_s: float) -> dict[str, UnitFacts]:
    """Two calls for all units together."""
    names = [unit.systemd for unit in units if unit.systemd]
    show = run(["systemctl", "show", f"--property={_PROPERTIES}", "--", *names], timeout_s=timeout_s)
    jobs = run(["systemctl", "list-jobs", "--no-legend", "--plain"], timeout_s=timeout_s)
    if show.code != 0:
        return {unit.name: {"state": UNKNOWN, "since_s": None} for unit in units}
    blocks = show.out.strip().split("\n\n")  # in the order asked for
    facts = {}
    for index, unit in enumerate(units):
        block = blocks[index] if index < len(blocks) else ""
        facts[unit.name] = unit_facts(block, jobs.out, time.monotonic())
    return facts


def unit_facts(block: str, jobs: str, monotonic_s: float) -> UnitFacts:
    """One unit's properties as `systemctl show` prints them, and all jobs."""
    values = dict(line.partition("=")[::2] for line in block.splitlines())
    state = _STATE_OF.get(values.get("ActiveState", ""), UNKNOWN)
    restarting = any(line.split()[1:3] == [values.get("Id"), "restart"] for line in jobs.splitlines())
    if values.get("LoadState") == "not-found":
        state = UNKNOWN  # systemd calls it inactive; a mistyped name must not look like a stopped service
    elif restarting or values.get("SubState") == "auto-restart":
        state = "restarting"
    return {"state": state, "since_s": _age_s(values.get("StateChangeTimestampMonotonic"), monotonic_s)}


def _age_s(microseconds: str | None, monotonic_s: float) -> float | None:
    if not microseconds or not microseconds.isdigit() or microseconds == "0":
        return None
    return round(max(0.0, monotonic_s - int(microseconds) / 1e6), 3)


def ask_command(unit: Unit, timeout_s: float) -> UnitFacts:
    ran = run(unit.status, timeout_s=timeout_s)
    word = (ran.out.split() or [""])[0].lower()
    state = word if ran.code is not None and word in STATES else _STATE_OF_EXIT.get(ran.code or 0, UNKNOWN)
    return {"state": UNKNOWN if ran.code is None else state, "since_s": None}
