"""Why no ZooKeeper server can be used, one by one: kazoo says only that it tries again."""

import asyncio
import os
import ssl
from dataclasses import dataclass

from mailward.controller.coordination.tls import Tls
from mailward.controller.coordination.zookeeper.values import Servers

TRY_S = 2.0
_BAD_CERTIFICATE = "refuses our certificate ({})"


@dataclass(frozen=True, slots=True)
class _Said:
    """What there is to say of a server; whether anybody listens there."""

    text: str
    listens: bool = True


async def of(servers: Servers) -> str:
    """A sentence for each server, within `TRY_S`."""
    found = await _each(servers)
    return "; ".join(f"{server} {said.text}" for server, said in zip(servers.addresses, found, strict=True))


async def _each(servers: Servers) -> list[_Said]:
    return await asyncio.gather(*(_one(server, servers.tls) for server in servers.addresses))


async def somebody_listens(servers: Servers) -> bool:
    found = await _each(servers)
    return any(said.listens for said in found)


async def _one(server: str, tls: Tls | None) -> _Said:
    try:
        return _Said(await _tried(server, tls))
    except (OSError, ValueError) as error:  # ValueError: a name or a port that is none
        number = getattr(error, "errno", None)
        return _Said(f"cannot be reached: {os.strerror(number) if number else error}", listens=False)


async def _tried(server: str, tls: Tls | None) -> str:
    """OSError where nobody listens."""
    host, _, port = server.rpartition(":")
    try:
        context = tls.context() if tls is not None else None
    except OSError as error:  # also ssl.SSLError
        return f"is not asked: our certificate, key or CA cannot be read ({error.strerror or error})"
    try:
        async with asyncio.timeout(TRY_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
            try:
                return await _asked(reader, writer, "" if tls else ", or wants TLS")
            finally:
                writer.transport.abort()
    except TimeoutError:
        return f"does not answer within {TRY_S:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"shows a certificate that is not believed: {error.verify_message}"
    except ssl.SSLError as error:
        return _BAD_CERTIFICATE.format(error.reason or error)
    except ConnectionResetError:
        return "hangs up while TLS begins" if tls is not None else "hangs up: perhaps it wants TLS"


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: str) -> str:
    """A server that is no part of a quorum hangs up on whoever speaks to it."""
    writer.write(_HELLO)
    await writer.drain()
    answer = await reader.read(4)
    return "answers, and gives no session yet" if answer else f"hangs up: it is no part of a quorum now{more}"


_HELLO = bytes.fromhex(
    "0000002d" + "00" * 4 + "00" * 8 + "00002710" + "00" * 8 + "00000010" + "00" * 16 + "00"
)
"""A request for a new session of 10 s, as every client begins."""
