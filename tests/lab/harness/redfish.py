"""A Redfish service of one machine: sushy-tools' emulator with its fake driver, as a process of this host.

It answers on TLS with a certificate nobody knows, and only to those with the password. The machine takes 1 to
11 seconds for each order: that is the driver's own chance.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
from tests.lab.harness.material import Authority
from tests.lab.harness.waiting import wait_until

USER, PASSWORD = "mailward", "redfish-secret"
SYSTEM = "27946b59-9e44-4fa7-8e91-f3527a1ef094"
SYSTEMS_URI = f"/redfish/v1/Systems/{SYSTEM}"


@dataclass(frozen=True)
class Redfish:
    """A running service."""

    address: str
    port: int
    process: subprocess.Popen[bytes]

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redfish(folder: Path, address: str) -> Iterator[Redfish]:
    """A machine that is on, until the end."""
    with socket.socket() as free:
        free.bind((address, 0))
        port = int(free.getsockname()[1])
    Authority(folder).issue(folder, ["bmc.example.test"], address)
    password = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{password}\n")
    system = {"uuid": SYSTEM, "name": "mail-a", "power_state": "On", "external_notifier": False, "nics": []}
    settings = {
        "LISTEN_IP": address, "LISTEN_PORT": port, "FAKE_DRIVER": True, "FAKE_SYSTEMS": [system],
        "SSL_CERT": str(folder / "tls.crt"), "SSL_KEY": str(folder / "tls.key"),
        "AUTH_FILE": str(folder / "htpasswd"), "STATE_DIR": str(folder),
    }  # fmt: skip
    file = folder / "emulator.conf"
    file.write_text("".join(f"SUSHY_EMULATOR_{name} = {value!r}\n" for name, value in settings.items()))
    with open(folder / "emulator.log", "wb") as log:
        program = Path(sys.executable).with_name("sushy-emulator")
        process = subprocess.Popen([program, "--fake", "--config", file], stdout=log, stderr=log)
    try:
        wait_until(lambda: _accepts(address, port), "the Redfish emulator answers", 20)
        yield Redfish(address, port, process)
    finally:
        process.kill()
        process.wait()


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
