"""`status`: a restart is told from a crash, and what hangs is unknown and delays nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node import status
from mailward.fencing.node.commands import run, work
from mailward.fencing.node.config import Unit
from mailward.fencing.node.screen import lines
from mailward.fencing.node.units import ask_command, unit_facts


def block(active: str, sub: str) -> str:
    changed = "StateChangeTimestampMonotonic=40000000"
    return "\n".join(["Id=dovecot.service", f"ActiveState={active}", f"SubState={sub}", changed])


@pytest.mark.parametrize(
    ("active", "sub", "jobs", "state"),
    [
        ("active", "running", "", "active"),
        ("reloading", "reload", "", "active"),
        ("inactive", "dead", "", "inactive"),
        ("failed", "failed", "", "failed"),
        ("activating", "start", "", "starting"),
        ("activating", "auto-restart", "", "restarting"),
        ("deactivating", "stop-sigterm", "", "stopping"),
        ("deactivating", "stop-sigterm", "812 dovecot.service restart running", "restarting"),
        ("inactive", "dead", "812 dovecot.service restart waiting", "restarting"),
        ("deactivating", "stop-sigterm", "812 postfix.service restart running", "stopping"),
        ("maintenance", "x", "", "unknown"),
    ],
)
def test_a_systemd_unit_has_a_state(active: str, sub: str, jobs: str, state: str) -> None:
    assert unit_facts(block(active, sub), jobs, 42.5) == {"state": state, "since_s": 2.5}


def test_a_unit_that_systemd_does_not_know_is_unknown() -> None:
    mistyped = "Id=dovcot.service\nLoadState=not-found\n" + block("inactive", "dead")
    assert unit_facts(mistyped, "", 42.5)["state"] == "unknown"
    assert unit_facts("", "", 42.5) == {"state": "unknown", "since_s": None}


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("echo restarting", "restarting"),
        ("echo Active since Monday", "active"),
        ("exit 0", "active"),
        ("exit 3", "inactive"),
        ("exit 4", "unknown"),
        ("echo rebuilding; exit 1", "unknown"),
    ],
)
def test_a_command_tells_by_its_first_word_or_its_exit_code(command: str, state: str) -> None:
    unit = Unit("dovecot", None, ("sh", "-c", command))
    assert ask_command(unit, 5.0)["state"] == state


def test_a_command_that_hangs_is_unknown() -> None:
    assert ask_command(Unit("dovecot", None, ("sleep", "5")), 0.1)["state"] == "unknown"


def test_a_command_that_is_missing_is_unknown() -> None:
    assert ask_command(Unit("x", None, ("/nonexistent/program",)), 0.1)["state"] == "unknown"


def test_a_program_that_hangs_is_killed_with_its_children() -> None:
    began = time.monotonic()
    ran = run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.5)
    assert ran.code is None
    assert time.monotonic() - began < 5
    assert ran.out
    child = Path(f"/proc/{ran.out.strip()}/stat")
    while time.monotonic() - began < 5 and _runs(child):
        time.sleep(0.01)  # a busy machine takes a moment to end what was killed
    assert not _runs(child)


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().split()[2] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_says_too_much_is_ended() -> None:
    ran = run(["yes"], timeout_s=5.0)
    assert ran.code is None
    assert len(ran.out) < 3 * 1024 * 1024


def test_a_program_gets_its_stdin_whole_even_if_it_reads_none_of_it() -> None:
    assert run(["true"], stdin="x" * 1_000_000).code == 0
    assert run(["wc", "-c"], stdin="x" * 300_000).out.strip() == "300000"


def test_what_leaves_a_daemon_behind_has_ended_though_that_holds_its_output() -> None:
    began = time.monotonic()
    ran = work(["sh", "-c", "echo before; sleep 30 & echo $!; exit 3"], timeout_s=10.0)
    assert time.monotonic() - began < 5
    assert (ran.code, ran.out.split()[0]) == (3, "before")
    os.kill(int(ran.out.split()[1]), signal.SIGKILL)


def test_of_what_says_much_the_end_is_kept_and_what_hangs_is_killed_with_its_children() -> None:
    ran = work(["sh", "-c", "seq 100000; echo the end"], timeout_s=10.0)
    assert (ran.code, ran.out[-8:], len(ran.out)) == (0, "the end\n", 4096)
    hung = work(["sh", "-c", "exec 2>&- >/dev/null; sleep 60"], timeout_s=0.3)
    assert (hung.code, hung.err) == (None, "sh: no end within 0.3 s")
    hung = work(["sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.3)
    child = Path(f"/proc/{hung.out.strip()}/stat")
    began = time.monotonic()
    while time.monotonic() - began < 5 and _runs(child):
        time.sleep(0.01)
    assert not _runs(child)
    assert (
        work(["/nonexistent/program"], timeout_s=0.3).err == "/nonexistent/program: No such file or directory"
    )


@pytest.fixture
def facts(node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(status, "choose", lambda: node.firewall)
    node.config = node.config._replace(paths={"mail": str(tmp_path), "queue": "/nonexistent"})
    return lambda: status.collect(node.config, node.memory)


def test_a_new_node_shows_all_open_and_the_room_of_its_paths(facts: Any) -> None:
    found = facts()
    assert found["ports"] == {"smtp": "open", "imaps": "open"}
    assert (found["token"], found["applied"], found["forced"], found["damage"]) == (None, True, False, "")
    assert found["paths"]["mail"]["total_bytes"] >= found["paths"]["mail"]["free_bytes"] > 0
    assert found["paths"]["queue"] == dict.fromkeys(found["paths"]["mail"])
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_firewall_that_was_flushed_is_seen(facts: Any, node: Any) -> None:
    node.order("abcdef01.1.1", {"smtp": "closed", "imaps": "open"})
    assert facts()["applied"] is True
    node.firewall.plan = None
    assert facts()["applied"] is False
    node.firewall.shown = lambda: None
    assert facts()["applied"] == "unknown"


def test_what_hangs_is_unknown_and_the_rest_is_told(
    facts: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "DEADLINE_S", 0.2)
    monkeypatch.setattr(status, "space", lambda path: time.sleep(3))
    began = time.monotonic()
    found = facts()
    assert time.monotonic() - began < 2
    assert found["paths"]["mail"]["free_bytes"] is None
    assert found["applied"] is True


def test_a_package_manager_at_work_is_seen_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock-frontend"
    monkeypatch.setattr(status, "_PACKAGE_LOCKS", (str(tmp_path / "absent"), str(lock)))
    assert not status.package_manager()
    lock.touch()
    assert not status.package_manager()
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX);"
        "print(flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert status.package_manager()
    finally:
        holder.communicate(b"\n")
    assert not status.package_manager()
    with lock.open("w") as file:  # asking has taken no lock
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_screen_fits_80_columns_and_says_what_is_wrong(facts: Any, node: Any) -> None:
    node.order("abcdef01.1.1", {"smtp": "closed", "imaps": "open"})
    node.firewall.plan = None
    found = {**facts(), "hostname": "mail-a", "units": {"dovecot": {"state": "restarting", "since_s": 1.4}}}
    found["paths"] = {
        "mail": {"free_bytes": 5 << 30, "total_bytes": 8 << 30, "free_inodes": 9, "total_inodes": 9}
    }
    shown = lines(found)
    assert max(map(len, shown)) <= 80
    assert shown == [
        "node      mail-a",
        "token     abcdef01.1.1",
        "ports     imaps         open",
        "          smtp          closed",
        "applied   NO: the firewall differs; `mailward-node restore` mends it",
        "boot      as ordered last, also what is open",
        "units     dovecot       restarting for 1 s",
        "space     mail          5120 MiB free of 8192, 9 inodes",
    ]
