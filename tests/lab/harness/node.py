"""One mail node: commands in it, and every fault the lab can do to it, each with its heal.

A fault returns the moment it happened, in `time.time()` seconds: units by the clock of the signal inside
the container (the same kernel), whole-node faults just before the engine is asked, so latencies are never
flattered.
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import tarfile
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

import docker.errors
from docker.models.containers import Container
from tests.lab.harness.engine import freeze
from tests.lab.harness.layout import (
    CLIENT_PORTS,
    DOMAIN,
    DOVEADM_API_KEY,
    DOVEADM_HTTP,
    DSYNC,
    IMAPS,
    SSH,
    UNITS,
)
from tests.lab.harness.waiting import wait_until

STORE, QUEUE = "/srv/mail", "/var/spool/postfix"
FILLER = f"{STORE}/.filler"
LOG_FILES = ("dovecot.log", "postfix.log", "sshd.log")
SPEAKS_FIRST = (*CLIENT_PORTS[:-1], SSH)

Direction = Literal["both", "in", "out"]


class CommandError(AssertionError):
    """A command in a node failed."""


class MailNode:
    """A running mail node."""

    def __init__(self, name: str, address: str, container: Container) -> None:
        self.name = name
        self.address = address
        self.container = container

    @property
    def hostname(self) -> str:
        """What its greeting and banner say."""
        return f"{self.name}.{DOMAIN}"

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command as root in the node; returns stdout and stderr together."""
        code, output = self.container.exec_run(list(command))
        assert isinstance(output, bytes)
        text = output.decode(errors="replace")
        if check and code != 0:
            raise CommandError(f"{self.name}: {' '.join(command)!r} ended with {code}: {text.strip()}")
        return text

    def shell(self, script: str, check: bool = True) -> str:
        return self.run("sh", "-c", script, check=check)

    def as_account(self, account: str) -> list[str]:
        """The beginning of a command that the test host runs on the node, without the engine."""
        enter = ["nsenter", f"--target={self._pid()}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        become = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"]
        return [*([] if os.geteuid() == 0 else ["/usr/bin/sudo", "-n"]), *enter, *become]

    def _pid(self) -> int:
        self.container.reload()
        return int(self.container.attrs["State"]["Pid"])

    def inside(self) -> list[str]:
        """The beginning of a command of the test host that is to run in the node's network."""
        enter = ["nsenter", f"--net=/proc/{self._pid()}/ns/net", "--"]
        if os.geteuid() == 0:
            return enter
        return [
            "sudo",
            "-n",
            *enter,
            "setpriv",
            f"--reuid={os.getuid()}",
            f"--regid={os.getgid()}",
            "--init-groups",
        ]

    # Units

    def kill_unit(self, unit: str) -> float:
        """kill -9 of every process of `dovecot` or `postfix`."""
        return self._signal("kill", unit)

    def freeze_unit(self, unit: str) -> float:
        """SIGSTOP: it accepts connections and never speaks."""
        return self._signal("freeze", unit)

    def _signal(self, verb: str, unit: str) -> float:
        """The engine loses now and then what a short command has said: then it was later than that."""
        at = time.time()
        return float(self.run("svc", verb, unit).strip() or at)

    def thaw_unit(self, unit: str) -> None:
        self.run("svc", "thaw", unit)

    def stop_unit(self, unit: str) -> None:
        self.run("svc", "stop", unit)

    def start_unit(self, unit: str) -> None:
        self.run("svc", "start", unit)

    def restart_unit(self, unit: str, between_s: float = 0) -> None:
        """Stop and start, announced as a restart meanwhile; returns when it serves again."""
        self.run("svc", "restart", unit, f"{between_s:g}")

    def unit_status(self, unit: str) -> str:
        """active, inactive, failed or restarting"""
        return self.run("svc", "status", unit).strip()

    # The whole node

    def kill(self) -> float:
        """docker kill: the address vanishes, store and queue stay."""
        at = time.time()
        self.container.kill()
        return at

    def boot(self) -> None:
        self.container.start()

    def pause(self) -> float:
        """docker pause: the kernel answers connects, nothing else moves."""
        at = time.time()
        freeze(self.container)
        return at

    def unpause(self) -> None:
        self.container.unpause()

    # The network

    def cut(self, direction: Direction = "both", peers: Sequence[str] = (), port: int = 0) -> float:
        """Drop packets in the node's own netns: all of them, or those from and to `peers` (addresses), to one
        port only where that is not 0."""
        rules = ["table inet lab_cut {"]
        for chain, hook, side in (("incoming", "input", "saddr"), ("outgoing", "output", "daddr")):
            if direction not in ("both", hook.removesuffix("put")):
                continue
            match = f"ip {side} {{ {', '.join(peers)} }} " if peers else ""
            match += f"tcp dport {port} " if port else ""
            rules += [
                f"chain {chain} {{",
                f"type filter hook {hook} priority -300; policy accept;",
                'iifname "lo" accept' if hook == "input" else 'oifname "lo" accept',
                f"{match}drop",
                "}",
            ]
        self.mend()
        at = time.time()
        self.run("nft", "\n".join([*rules, "}", ""]))
        return at

    def mend(self) -> None:
        self.shell("nft delete table inet lab_cut 2>/dev/null", check=False)

    # The disk

    def fill_disk(self) -> float:
        """Fill the mail store to its last block; the queue is another file system and keeps its room."""
        fill = f"dd if=/dev/zero bs=1M >{FILLER}; dd if=/dev/zero bs=4k >>{FILLER}"
        self.shell(f"{{ {fill}; }} 2>/dev/null", check=False)
        return time.time()

    def free_disk(self) -> None:
        self.run("rm", "-f", FILLER)

    def free_bytes(self, path: str = STORE) -> int:
        return int(self.run("stat", "-f", "-c", "%a", path)) * int(self.run("stat", "-f", "-c", "%S", path))

    # Back to health

    def heal(self, deadline_s: float = 30) -> None:
        """Undo every fault above, whichever there are; returns when each unit speaks on the node itself.

        Client ports that the helper closed stay closed: opening them is mailward's to do.
        """
        self.container.reload()
        if self.container.status == "paused":
            self.unpause()
        elif self.container.status != "running":
            self.boot()
        wait_until(self._entry_done, f"{self.name} has started its units", deadline_s)
        units = "; ".join(f"svc thaw {unit}; svc start {unit}" for unit in UNITS)
        self.shell(f"nft delete table inet lab_cut 2>/dev/null; rm -f {FILLER}; {units}")
        wait_until(self.speaks_within, f"{self.name} speaks on its own loopback", deadline_s)

    def wait_open(self, deadline_s: float = 30) -> None:
        """Until every service speaks to the test host."""
        for port in SPEAKS_FIRST:
            wait_until(partial(self.speaks, port), f"{self.name} speaks on port {port}", deadline_s)
        for port in (IMAPS, DSYNC, DOVEADM_HTTP):
            wait_until(partial(self.accepts, port), f"{self.name} accepts on port {port}", deadline_s)

    def speaks_within(self) -> bool:
        """Whether every service that speaks first does so on its own loopback."""
        ports = " ".join(map(str, SPEAKS_FIRST))
        script = f"for port in {ports}; do exec 3<>/dev/tcp/127.0.0.1/$port && read -rt1 -u3 || exit 1; done"
        code, _ = self.container.exec_run(["bash", "-c", script])
        return bool(code == 0)

    def _entry_done(self) -> bool:
        """Since this start. An earlier one's mark is there until the node's init has removed it, and by that
        the units would be started before the ports are closed."""
        self.container.reload()
        began = datetime.fromisoformat(self.container.attrs["State"]["StartedAt"])
        newer = f'[ -n "$(find /run/lab/started -newermt @{began.timestamp():.6f})" ]'
        try:
            code, _ = self.container.exec_run(["sh", "-c", newer])
        except docker.errors.APIError:
            return False
        return bool(code == 0)

    def accepts(self, port: int, timeout_s: float = 1) -> bool:
        try:
            socket.create_connection((self.address, port), timeout_s).close()
        except OSError:
            return False
        return True

    def speaks(self, port: int, timeout_s: float = 1) -> bool:
        """Whether it sends something by itself: a banner, a greeting."""
        try:
            with socket.create_connection((self.address, port), timeout_s) as connection:
                connection.settimeout(timeout_s)
                return connection.recv(1) != b""
        except OSError:
            return False

    # Queue and replication

    def flush_queue(self) -> None:
        self.run("postqueue", "-f", check=False)

    def queued(self) -> int:
        """Messages in the Postfix queue, whatever their state."""
        return len(self.run("postqueue", "-j", check=False).splitlines())

    def queue(self) -> list[dict[str, Any]]:
        """What is in the Postfix queue, as `postqueue -j` lists it."""
        return [json.loads(line) for line in self.run("postqueue", "-j").splitlines()]

    def replicate_all(self) -> None:
        """Queue every user for a full sync, those waiting after a failure included."""
        self.run("doveadm", "replicator", "replicate", "-f", "*", check=False)

    def replication_backlog(self) -> int | None:
        """Users queued, being synced, or waiting after a failure; None while doveadm does not answer."""
        commands = [["replicatorStatus", {}, "queue"], ["replicatorDsyncStatus", {}, "busy"]]
        request = urllib.request.Request(
            f"http://{self.address}:{DOVEADM_HTTP}/doveadm/v1",
            json.dumps(commands).encode(),
            {"Authorization": "X-Dovecot-API " + base64.b64encode(DOVEADM_API_KEY.encode()).decode()},
        )
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                return _backlog({tag: rows for _, rows, tag in json.load(answer)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def logs(self) -> dict[str, str]:
        """Every log of the node by name, the container's own output as `entry.log`."""
        found = {"entry.log": self.container.logs().decode(errors="replace")}
        for name in LOG_FILES:
            try:
                stream, _ = self.container.get_archive(f"/var/log/{name}")
            except docker.errors.APIError:
                continue
            found[name] = _untar(b"".join(stream))
        return found


def _backlog(answers: dict[str, list[dict[str, str]]]) -> int:
    """A sync under way counts nowhere in the queue, and hangs for long while the peer is cut off."""
    counts = {row["field"]: int(row["value"]) for row in answers["queue"]}
    waiting = sum(count for field, count in counts.items() if field.startswith(("Queued", "Waiting")))
    return waiting + sum(1 for row in answers["busy"] if row["username"])


def _untar(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        return file.read().decode(errors="replace") if file else ""
