"""Fence agents as Debian packages them, and a management controller to switch: ipmi_sim over a script.

The agents are processes of this host in the file system and network of a container, so that ending them ends
what they do, as it does where they are installed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker.models.containers import Container
from tests.lab.harness.engine import Engine
from tests.lab.harness.layout import Addresses
from tests.lab.harness.waiting import wait_until

USER, PASSWORD = "mailward", "bmc-secret"


@dataclass(frozen=True)
class Agents:
    """A container with the package."""

    container: Container

    def program(self, name: str, folder: Path) -> str:
        """An executable that is this agent."""
        asked = [] if os.geteuid() == 0 else ["sudo", "-n"]
        enter = [*asked, "nsenter", "-t", str(self._pid), "-m", "-n"]
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {" ".join(enter)} /usr/sbin/{name} "$@"\n')
        file.chmod(0o755)
        return str(file)

    def running(self) -> list[str]:
        """The command lines of agents that run now, and of what they have started."""
        ours = os.readlink(f"/proc/{self._pid}/ns/net")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.name != str(self._pid) and os.readlink(process / "ns/net") == ours:
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return [line for line in found if line]

    def shell(self, script: str) -> str:
        code, output = self.container.exec_run(["sh", "-c", script])
        assert isinstance(output, bytes)
        assert code == 0, output
        return output.decode()

    @property
    def _pid(self) -> int:
        self.container.reload()
        return int(self.container.attrs["State"]["Pid"])


@dataclass(frozen=True)
class Bmc:
    """The controller of one machine."""

    container: Container
    address: str

    def shell(self, script: str) -> str:
        code, output = self.container.exec_run(["sh", "-c", script])
        assert isinstance(output, bytes)
        assert code == 0, output
        return output.decode().strip()

    @property
    def power(self) -> str:
        return {"0": "off", "1": "on"}[self.shell("cat /power/state")]

    def mend(self) -> None:
        """The machine on, and everything done at once."""
        self.container.reload()
        if self.container.status == "paused":
            self.container.unpause()
        self.container.start()
        wait_until(lambda: self.shell("pidof ipmi_sim || true"), "ipmi_sim runs", 10)
        self.shell("rm -f /power/stuck /power/asked; echo 0 >/power/after; echo 1 >/power/state")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.container.pause()
        try:
            yield
        finally:
            self.container.unpause()


def start(engine: Engine, net: Addresses) -> tuple[Agents, Bmc]:
    image = "mailward-lab/power"
    agents = Agents(engine.run("agents", image, address=net.witness, command="sleep infinity"))
    return agents, Bmc(engine.run("bmc", image, address=net.bmc), net.bmc)
