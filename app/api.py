"""Listening: the API on its Unix socket, and on TCP where that is configured.

The socket is never more open than 0660, not even for a moment; a stale one is replaced, a live one is
another daemon's and is not. A connection that says nothing whole for a while is ended, and there are never so
many that the daemon's own work would find no file descriptor left.
"""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from mailward.app.doors import Door, SocketDoor, TokenDoor
from mailward.app.live import Live
from mailward.app.routes import build_app
from mailward.model.errors import MailwardError

SOCKET_MODE = 0o660
IDLE_S = 15.0
STOP_S = 2.0
BACKLOG = 64
MOST_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the API answers: the socket's path, and the TCP address with its real port."""

    socket: Path | None
    tcp: tuple[str, int] | None


@asynccontextmanager
async def serve(
    live: Live, socket_path: Path | None, tcp: tuple[str, int] | None = None, token: str | None = None
) -> AsyncIterator[Listening]:
    """Serve the API until the block ends; over TCP only `token` allows changes. MailwardError if an
    address cannot be had."""
    doors: list[_Listener] = []
    bound: socket.socket | None = None
    try:
        address = None
        if socket_path is not None:
            bound = _unix(socket_path)
            doors.append(await _started(live, SocketDoor(), bound))
        if tcp is not None:
            listener = _tcp(*tcp)
            address = listener.getsockname()[:2]
            doors.append(await _started(live, TokenDoor(token), listener))
        yield Listening(socket_path, address)
    finally:
        await asyncio.gather(*(door.close() for door in doors))
        if bound is not None and socket_path is not None:
            socket_path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Listener:
    server: asyncio.Server
    runner: web.AppRunner

    async def close(self) -> None:
        self.server.close()
        await self.runner.cleanup()


class _Full(asyncio.Protocol):
    """For whom there is no room: the connection is ended at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


async def _started(live: Live, door: Door, listener: socket.socket) -> _Listener:
    runner = web.AppRunner(
        build_app(live, door),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=IDLE_S,
        shutdown_timeout=STOP_S,
        lingering_time=STOP_S,
    )
    await runner.setup()
    handlers = runner.server
    assert handlers is not None

    def admitted() -> asyncio.Protocol:
        return _Full() if len(handlers.connections) >= MOST_CONNECTIONS else handlers()

    loop = asyncio.get_running_loop()
    return _Listener(await loop.create_server(admitted, sock=listener, backlog=BACKLOG), runner)


def _unix(path: Path) -> socket.socket:
    clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(listener.fileno(), SOCKET_MODE)  # bind() takes the mode from here, less the umask
        path.parent.mkdir(parents=True, exist_ok=True)
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
    except OSError as error:
        listener.close()
        raise MailwardError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def clear(path: Path) -> None:
    """Remove a socket nobody listens on any more; MailwardError where somebody does."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise MailwardError(f"cannot listen on {path}: something else is there, and it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise MailwardError(f"cannot listen on {path}: {error.strerror or error}") from error
    raise MailwardError(f"another mailward answers on {path}; stop it first")


def _tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MailwardError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener
