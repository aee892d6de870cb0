"""A controller on the test host: its configuration for the lab, and `mailward run` as a process of its own.

The configuration is the one an administrator would write for these two nodes. What differs from the
defaults is what a lab needs to be quick (`POLICY`); a test changes single keys by `changes`, merged into
it. Each controller has a new store, so the cluster must have been healed since another one wrote its token
into zone and helpers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import CANARY, DOMAIN, DOVEADM_API_KEY, NODE_NAMES, ROOT, TTL_S, password
from tests.lab.harness.material import write_private
from tests.lab.harness.node import MailNode
from tests.lab.harness.waiting import wait_until

PROGRAM = Path(sys.executable).with_name("mailward")
LOG_LINES = 20
POLICY: dict[str, Any] = {
    "stable_s": 3,
    "hold_down_s": 3,
    "failovers_per_hour": 60,
    "min_free_bytes": 8 * 1024 * 1024,
}

Values = Mapping[str, Any]


def lab_config(cluster: Cluster, folder: Path, listen: str, socket_path: Path) -> dict[str, Any]:
    """What the file says; secrets are files in `folder`."""
    secrets = {"canary": password(CANARY), "doveadm": DOVEADM_API_KEY, "tsig": cluster.tsig.secret}
    for name, secret in secrets.items():
        write_private(folder / name, f"{secret}\n".encode())
    everywhere = {
        f"mail.{DOMAIN}": ["smtp", "submission", "imap", "imaps"],
        f"imap.{DOMAIN}": ["imap", "imaps"],
        f"smtp.{DOMAIN}": ["submission"],
    }
    return {
        "cluster": "lab",
        "deployment": "hybrid",
        "automation": "act",
        "nodes": {
            name: {
                "site": f"site-{name[-1]}",
                "addresses": [cluster.addresses.node(name)],
                "hostname": f"{name}.{DOMAIN}",
            }
            for name in NODE_NAMES
        },
        "helper": {
            "ssh": {"key_file": str(cluster.ssh.key_file), "known_hosts_file": str(cluster.ssh.known_hosts)}
        },
        "replication": {"doveadm": {"api_key_file": "doveadm"}},
        "services": {"smtp": {}, "submission": {}, "imap": {}, "imaps": {}},
        "canary": {"user": CANARY, "password_file": "canary"},
        "tls": {"ca_file": str(cluster.ca_file)},
        "endpoints": {name: {"services": services, "ttl_s": TTL_S} for name, services in everywhere.items()},
        "dns": {
            "bind": {
                "rfc2136": {
                    "server": cluster.addresses.ns1,
                    "zone": DOMAIN,
                    "tsig": {"name": cluster.tsig.name.rstrip("."), "secret_file": "tsig"},
                    "secondaries": [cluster.addresses.ns2],
                }
            }
        },
        "coordination": {"local": {"directory": "state"}},
        "api": {"listen": listen, "socket": str(socket_path)},
        "policy": POLICY,
    }


def merged(base: Values, changes: Values) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; None removes a key."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Controller:
    """`mailward run` with a store of its own; a context manager, or `init`, `start`, `stop`. It runs in the
    network of `beside`, or in the test host's; `program` is what runs."""

    _every: ClassVar[weakref.WeakSet[Controller]] = weakref.WeakSet()

    def __init__(
        self, cluster: Cluster, changes: Values | None = None, *,
        name: str = "controller", stays: bool = False,
        beside: MailNode | None = None, program: Sequence[str] = (str(PROGRAM),),
        env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        self.env = {**os.environ, **(env or {})}
        self._stays = stays
        self._beside = beside
        self._program = program
        self.folder = cluster.folder / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        # A checkout's path may be longer than a Unix socket's may be.
        self._socket_folder = Path(tempfile.mkdtemp(prefix="mailward-"))
        self._socket = self._socket_folder / "socket"
        base = lab_config(cluster, self.folder, f"127.0.0.1:{free_port()}", self._socket)
        self.config_file = self.folder / "mailward.yaml"
        self.configure(merged(base, changes or {}))
        self.log_file = self.folder / "mailward.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._every.add(self)

    def __enter__(self) -> Self:
        self.init()
        return self.start()

    def __exit__(self, failed: object = None, *_: object) -> None:
        if failed:
            print(self.story())
        self.stop()
        shutil.rmtree(self._socket_folder, ignore_errors=True)

    def configure(self, values: Values) -> None:
        """Write the configuration file anew."""
        self.values = dict(values)
        self.config_file.write_text(yaml.safe_dump(self.values, sort_keys=False))

    def cli(self, *words: str, timeout_s: float = 150) -> subprocess.CompletedProcess[str]:
        """Run `mailward WORDS --config FILE`; nothing is checked. Longer than the daemon waits for a step:
        what it gives up says why."""
        command = [str(PROGRAM), *words, "--config", str(self.config_file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)

    def do(self, *words: str, timeout_s: float = 150) -> str:
        """Run `mailward WORDS`, which must do what it is told; its output."""
        done = self.cli(*words, timeout_s=timeout_s)
        told = done.stdout + done.stderr
        assert done.returncode == 0, f"mailward {shlex.join(words)} ended with {done.returncode}:\n{told}"
        return told

    def init(self, *options: str) -> None:
        """`mailward state init`"""
        self.do("state", "init", *options)

    def start(self, ready_within_s: float = 30) -> Self:
        """Start the daemon and wait until it says that it is ready."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launcher(), *self._program, "run", "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self.env,
                cwd=ROOT,
            )
        if ready_within_s:
            wait_until(self._is_ready_or_gone, "the controller is ready", ready_within_s)
            assert self.is_running, f"the controller ended at its start:\n{self.log_tail()}"
        return self

    def _launcher(self) -> list[str]:
        """A killed test run must not leave a controller behind which goes on acting."""
        guarded = [] if self._stays else ["setpriv", "--pdeathsig", "KILL"]
        if self._beside is None:
            return guarded
        path = f"PATH={self._with_sudo_of(self._beside)}:{os.environ['PATH']}"
        return [*self._beside.inside(), "env", path, *guarded]

    def _with_sudo_of(self, host: MailNode) -> Path:
        """A folder with a `sudo` that is the host's own: what the daemon starts by it runs there."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "sudo"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(host.as_account("mailward"))} sudo "$@"\n')
        program.chmod(0o755)
        return folder

    @property
    def pid(self) -> int:
        assert self._process is not None, "the controller was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> float:
        """kill -9; returns the moment."""
        at = time.time()
        self.end(signal.SIGKILL)
        return at

    def stop(self) -> None:
        """A clean stop, as systemd's."""
        self.end(signal.SIGTERM)

    def end(self, number: signal.Signals, within_s: float = 15) -> int | None:
        """Send a signal and wait for the end; the exit code, None if it did not run."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
            raise AssertionError(f"the controller ignored {number.name}:\n{self.log_tail()}") from None

    def wait_end(self, within_s: float) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None, "the controller was not started"
        return self._process.wait(within_s)

    def get(self, path: str) -> tuple[int, Any]:
        """GET from its API: status and decoded JSON (or text); (0, None) when it does not answer."""
        try:
            with contextlib.closing(_OverSocket(self._socket, timeout_s=3)) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, _decoded(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, None

    def status(self) -> Any:
        """`/v1/status`"""
        code, document = self.get("/v1/status")
        assert code == 200, f"/v1/status answered {code}: {document}"
        return document

    @property
    def state_file(self) -> Path:
        """The recorded state: `{"version": …, "state": {…}}`, replaced by each commit."""
        return self.folder / "state" / "state.json"

    def recorded(self) -> dict[str, Any]:
        """The document in `state_file`."""
        document: dict[str, Any] = json.loads(self.state_file.read_bytes())
        return document

    def kill_at_version(self, version: int, quiet_s: float) -> bool:
        """kill -9 within a millisecond of the commit of `version`; False after `quiet_s` without a commit."""
        ends = time.monotonic() + quiet_s
        seen = 0
        while time.monotonic() < ends:
            changed = self.state_file.stat().st_mtime_ns
            if changed != seen:
                seen, ends = changed, time.monotonic() + quiet_s
                if self.recorded()["version"] >= version:
                    self.kill()
                    return True
            time.sleep(0.0003)
        return False

    def story(self) -> str:
        """What it says of itself now, and said last: for a test that fails."""
        try:
            told = self.cli("explain", timeout_s=10)
            explained = told.stdout + told.stderr
        except subprocess.TimeoutExpired as late:
            explained = f"{late}\n"
        return f"--- {self.folder.name}:\n{explained}{self.log_tail()}\n"

    @classmethod
    def stories(cls) -> str:
        """Of all that run."""
        return "".join(each.story() for each in cls._every if each.is_running)

    def log_tail(self, lines: int = LOG_LINES) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _is_ready_or_gone(self) -> bool:
        return not self.is_running or self.get("/ready")[0] == 200


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
