"""The helper beside us: `sudo -n mailward-node serve` as a child process, for a daemon on its node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from mailward.fencing.channel import Channel, ChannelError
from mailward.fencing.helper import NodeHelper

COMMAND = ("sudo", "-n", "/usr/local/sbin/mailward-node", "serve")
_COMPLAINT_LIMIT = 400
_END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _LocalChannel:
    """The process talks over socket pairs: closing our ends is closing everything."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stderr: socket.socket

    async def complaint(self) -> str:
        said = await asyncio.get_running_loop().sock_recv(self.stderr, _COMPLAINT_LIMIT)
        return said.decode(errors="replace").strip()

    def close(self) -> None:
        """Kill it if we may: what sudo started is root's, and ends by itself when its streams do."""
        self.writer.close()
        self.stderr.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class LocalTransport:
    name = "local"

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._reapers: set[asyncio.Task[int]] = set()

    async def open(self) -> Channel:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            sock, its_stdio = socket.socketpair()
            ours.callback(sock.close)
            theirs.callback(its_stdio.close)
            stderr, its_stderr = socket.socketpair()
            ours.callback(stderr.close)
            theirs.callback(its_stderr.close)
            stderr.setblocking(False)
            # Before the process, which so is never left with nobody to wait for it.
            reader, writer = await asyncio.open_connection(sock=sock)
            ours.callback(writer.close)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=its_stdio.fileno(),
                    stdout=its_stdio.fileno(),
                    stderr=its_stderr.fileno(),
                    start_new_session=True,
                )
            except OSError as error:
                raise ChannelError(f"{self._command[0]}: {error.strerror}") from error
            ours.pop_all()
        reaper = asyncio.create_task(process.wait(), name="end of a local mailward-node")
        self._reapers.add(reaper)
        reaper.add_done_callback(self._reapers.discard)
        return _LocalChannel(process, reader, writer, stderr)

    def forget(self) -> bool:
        return False

    async def close(self) -> None:
        """Wait for the processes that were let go: an instant, but for a starved machine."""
        if self._reapers:
            await asyncio.wait(self._reapers, timeout=_END_TIMEOUT_S)


class LocalHelper(NodeHelper):
    """The helper of the node we run on."""

    def __init__(self, command: Sequence[str] = COMMAND, *, timeout_s: float = 6.0) -> None:
        super().__init__(LocalTransport(command), timeout_s=timeout_s)
