"""Who may change things: whoever can open the Unix socket, or shows the token over TCP.

The socket's file mode (0660) is the lock of the first door, a bearer token that of the second. Reading
needs neither. There are no roles and no accounts: who asked is recorded with each request, not weighed.
"""

import asyncio
import hmac
import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

NAME_LOOKUP_S = 1.0
"""A name service that hangs must not keep anybody from pausing."""

_CREDENTIALS = struct.Struct("3i")


@dataclass
class Denied(Exception):
    """A call that is not answered as asked: HTTP status, short error word, a sentence."""

    status: int
    error: str
    message: str


class Door(Protocol):
    async def who(self, request: web.Request) -> str:
        """Who asks for a change; Denied if nobody may through this door."""
        ...


class SocketDoor:
    """The Unix socket: the kernel tells who is at the other end."""

    async def who(self, request: web.Request) -> str:
        peer = request.transport.get_extra_info("socket") if request.transport else None
        if peer is None:
            raise Denied(403, "forbidden", "nobody is at the other end any more")
        packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _pid, uid, _gid = _CREDENTIALS.unpack(packed)
        return f"{await _name_of(uid)}@{socket.gethostname()}"


async def _name_of(uid: int) -> str:
    try:
        async with asyncio.timeout(NAME_LOOKUP_S):
            return (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
    except (KeyError, TimeoutError):
        return f"uid-{uid}"


class TokenDoor:
    """TCP: changes only with the token, and none at all if none is configured."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token else None

    async def who(self, request: web.Request) -> str:
        if self._token is None:
            raise Denied(
                403, "forbidden", "no token is configured: changes are taken on the Unix socket only"
            )
        shown = request.headers.getall("Authorization", [])
        scheme, _, given = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not given:
            raise Denied(401, "unauthorized", "changes need the header 'Authorization: Bearer TOKEN'")
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token):
            raise Denied(403, "forbidden", "the token is wrong")
        return f"token@{request.remote or 'unknown'}"
