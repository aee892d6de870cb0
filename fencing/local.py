"""The helper beside us: `sudo -n mailward-node serve` as a child process, for a daemon on its node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from mailward.fencing.channel import Channel, ChannelError
from mailward.fencing.helper import NodeHelper

COMMAND = ("sudo", "-n", "/usr/local/sbin/mailward-node", "serve")
_COMPLAINT_LIMIT = 400


@dataclass(frozen=True, slots=True)
class _LocalChannel:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def complaint(self) -> str:
        if self.process.stderr is None:
            return ""
        return (await self.process.stderr.read(_COMPLAINT_LIMIT)).decode(errors="replace").strip()

    def close(self) -> None:
        """Close its stdin, and kill it if we may: what sudo started is root's and ends by itself."""
        self.writer.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.process.kill()


class LocalTransport:
    name = "local"

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)

    async def open(self) -> Channel:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            raise ChannelError(f"{self._command[0]}: {error.strerror}") from error
        if process.stdout is None or process.stdin is None:
            raise ChannelError(f"{self._command[0]}: no pipes")
        return _LocalChannel(process, process.stdout, process.stdin)

    def forget(self) -> bool:
        return False

    async def close(self) -> None:
        return None


class LocalHelper(NodeHelper):
    """The helper of the node we run on."""

    def __init__(self, command: Sequence[str] = COMMAND, *, timeout_s: float = 6.0) -> None:
        super().__init__(LocalTransport(command), timeout_s=timeout_s)
