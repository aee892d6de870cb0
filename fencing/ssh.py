"""The helper over SSH: one warm connection a node, a process of the helper for each request.

Strict on purpose: the host key must be in `known_hosts`, the key is a file, and neither ssh_config nor
an agent is asked, so that what works for the daemon does not depend on who started it. A frozen or cut
host is noticed by keepalive, and by the caller's deadline before that.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from mailward.fencing.channel import Channel, ChannelError
from mailward.fencing.helper import NodeHelper

COMMAND = "sudo -n /usr/local/sbin/mailward-node serve"
_COMPLAINT_LIMIT = 400
_WINDOW = 256 * 1024  # bytes that may lie unread, of a helper that says too much


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where and as whom. `command` is what a forced command overrides with the same."""

    host: str
    user: str
    key_file: Path
    known_hosts: Path
    port: int = 22
    command: str = COMMAND
    connect_timeout_s: float = 2.0
    keepalive_s: float = 1.0
    keepalive_misses: int = 3


@dataclass(eq=False)
class _Warm:
    """A connection, and how many processes run on it."""

    connection: asyncssh.SSHClientConnection
    used: bool = False
    channels: int = 0
    forgotten: bool = False

    def release(self) -> None:
        self.channels -= 1
        self.close_if_done()

    def close_if_done(self) -> None:
        """A connection given up goes with its last process: an order on it may still be answered."""
        if self.forgotten and self.channels <= 0:
            self.connection.close()


@dataclass(eq=False)
class _SshChannel:
    warm: _Warm
    stdin: asyncssh.SSHWriter[bytes]
    stdout: asyncssh.SSHReader[bytes]
    stderr: asyncssh.SSHReader[bytes]
    closed: bool = field(default=False, init=False)

    @property
    def reader(self) -> _SshReader:
        return _SshReader(self.stdout)

    @property
    def writer(self) -> _SshWriter:
        return _SshWriter(self.stdin)

    async def complaint(self) -> str:
        with contextlib.suppress(asyncssh.Error, OSError):
            return (await self.stderr.read(_COMPLAINT_LIMIT)).decode(errors="replace").strip()
        return ""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.stdin.channel.close()
            self.warm.release()


@dataclass(frozen=True, slots=True)
class _SshReader:
    stream: asyncssh.SSHReader[bytes]

    async def read(self, n: int = -1, /) -> bytes:
        try:
            return await self.stream.read(n)
        except (asyncssh.Error, OSError) as error:
            raise ChannelError(_text(error)) from error


@dataclass(frozen=True, slots=True)
class _SshWriter:
    stream: asyncssh.SSHWriter[bytes]

    def write(self, data: bytes, /) -> None:
        try:
            self.stream.write(data)
        except (asyncssh.Error, OSError) as error:
            raise ChannelError(_text(error)) from error

    async def drain(self) -> None:
        try:
            await self.stream.drain()
        except (asyncssh.Error, OSError) as error:
            raise ChannelError(_text(error)) from error


class SshTransport:
    name = "ssh"

    def __init__(self, target: SshTarget) -> None:
        self._target = target
        self._warm: _Warm | None = None
        self._connecting = asyncio.Lock()

    async def open(self) -> Channel:
        warm = await self._connection()
        warm.channels += 1
        try:
            streams = await warm.connection.open_session(self._target.command, encoding=None, window=_WINDOW)
        except (asyncssh.Error, OSError) as error:
            warm.release()
            raise ChannelError(_text(error)) from error
        except BaseException:
            warm.release()
            raise
        return _SshChannel(warm, *streams)

    def forget(self) -> bool:
        warm, self._warm = self._warm, None
        if warm is None:
            return False
        warm.forgotten = True
        warm.close_if_done()
        return warm.used

    async def close(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.connection.abort()

    async def _connection(self) -> _Warm:
        async with self._connecting:
            if self._warm is not None and not self._warm.connection.is_closed():
                self._warm.used = True
                return self._warm
            self._warm = _Warm(await self._connect())
            return self._warm

    async def _connect(self) -> asyncssh.SSHClientConnection:
        target = self._target
        try:
            async with asyncio.timeout(target.connect_timeout_s):
                return await asyncssh.connect(
                    target.host,
                    target.port,
                    username=target.user,
                    client_keys=[str(target.key_file)],
                    known_hosts=str(target.known_hosts),
                    config=None,
                    agent_path=None,
                    preferred_auth="publickey",
                    keepalive_interval=target.keepalive_s,
                    keepalive_count_max=target.keepalive_misses,
                )
        except TimeoutError as error:
            raise ChannelError(f"no SSH connection within {target.connect_timeout_s:g} s") from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise ChannelError(_text(error)) from error


class SshHelper(NodeHelper):
    """The helper of a node elsewhere."""

    def __init__(self, target: SshTarget, *, timeout_s: float = 6.0) -> None:
        super().__init__(SshTransport(target), timeout_s=timeout_s)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_COMPLAINT_LIMIT]
