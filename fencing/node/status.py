"""`status`: what only the node knows. Everything is asked at once, in threads, with one deadline.

What hangs or fails is "unknown" in the answer, and never keeps the rest from being told: a dead
network file system, a stuck systemd and a broken disk are just when one wants to know the rest.
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from mailward.fencing.node import VERSION
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.firewall import Plan, Shown, choose
from mailward.fencing.node.memory import Memory
from mailward.fencing.node.orders import is_shown, plan_of, state_of
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.units import UNKNOWN, ask_command, ask_systemd
from mailward.fencing.node.writers import are_stopped

DEADLINE_S = 2.0
_COMMAND_TIMEOUT_S = 1.8
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PACKAGE_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/rpm/.rpm.lock",
    "/usr/lib/sysimage/rpm/.rpm.lock",
)
_NO_SPACE = {"free_bytes": None, "total_bytes": None, "free_inodes": None, "total_inodes": None}


def collect(config: NodeConfig, memory: Memory) -> dict[str, Any]:
    """All facts, within `DEADLINE_S`."""
    known = memory.read()
    record = known.record
    asked = _Asked()
    asked.ask("kernel", lambda: choose().shown(), None)
    asked.ask("firewall", lambda: choose().name, UNKNOWN)
    asked.ask("package_manager", package_manager, False)
    for name, path in config.paths.items():
        asked.ask(f"path {name}", partial(space, path), _NO_SPACE)
    systemd = [unit for unit in config.units if unit.systemd]
    if systemd:
        asked.ask("systemd", lambda: ask_systemd(systemd, _COMMAND_TIMEOUT_S), {})
    for unit in config.units:
        if not unit.systemd:
            asked.ask(f"unit {unit.name}", partial(ask_command, unit, _COMMAND_TIMEOUT_S), None)
    answers = asked.wait(Deadline(DEADLINE_S))
    plan, kernel = plan_of(record, config), answers["kernel"]
    units = {
        unit.name: (answers.get("systemd") or {}).get(unit.name)
        or answers.get(f"unit {unit.name}")
        or {"state": UNKNOWN, "since_s": None}
        for unit in config.units
    }
    writing = [units[name] for name in config.writers]
    return {
        "hostname": socket.gethostname(),
        "boot_id": _boot_id(),
        "store": record.store,
        "token": str(record.token) if record.token else None,
        "ports": {service: state_of(service, record.ports) for service in config.services},
        "applied": UNKNOWN if kernel is None else is_shown(kernel, plan),
        "lease": lease(plan, kernel),
        "forced": record.forced is not None,
        "stopped": are_stopped(unit["state"] for unit in writing) if record.stop else None,
        "boot": config.boot,
        "damage": known.damage,
        "units": units,
        "package_manager": answers["package_manager"],
        "paths": {name: answers[f"path {name}"] for name in config.paths},
        "versions": {
            "helper": VERSION,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "firewall": answers["firewall"],
        },
    }


class _Asked:
    """Questions that run side by side, each with the answer to give when it does not come."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}
        self._threads: dict[str, threading.Thread] = {}

    def ask(self, name: str, question: Callable[[], Any], otherwise: Any) -> None:
        def answer() -> None:
            try:
                self._answers[name] = question()
            except (Refused, OSError, ValueError, KeyError, IndexError):
                return  # the prepared answer stands

        self._answers[name] = otherwise
        self._threads[name] = threading.Thread(target=answer, name=name, daemon=True)
        self._threads[name].start()

    def wait(self, deadline: Deadline) -> dict[str, Any]:
        for thread in self._threads.values():
            thread.join(deadline.left_s())
        return dict(self._answers)


def lease(plan: Plan, kernel: Shown | None) -> dict[str, Any] | None:
    """Of the lease under which ports are open: its length, and the whole seconds left. 0 when it has lapsed
    and in its last second, None when the kernel does not show it."""
    if not plan.held:
        return None
    return {"lease_s": plan.lease_s, "left_s": kernel.left_s if kernel and is_shown(kernel, plan) else None}


def package_manager() -> bool:
    """Whether dpkg, apt or rpm is at work: it holds a lock."""
    return any(_is_locked(path) for path in _PACKAGE_LOCKS)


def _is_locked(path: str) -> bool:
    """Whether a process holds a POSIX lock. It is only asked for, never taken: apt would fail on that."""
    try:
        with open(path, "rb") as file:
            question = struct.pack("hhlli", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
    except OSError:
        return False
    return bool(struct.unpack("hhlli", answer)[0] != fcntl.F_UNLCK)


def space(path: str) -> dict[str, int | None]:
    """Free room for others than root, as the mail services see it."""
    found = os.statvfs(path)
    return {
        "free_bytes": found.f_bavail * found.f_frsize,
        "total_bytes": found.f_blocks * found.f_frsize,
        "free_inodes": found.f_favail if found.f_files else None,
        "total_inodes": found.f_files or None,
    }


def _boot_id() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return UNKNOWN
