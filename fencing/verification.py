"""The refusal, seen from outside: a TCP connect to every closed client port is answered by a reset.

Only a refusal counts. A connection accepted is the opposite; a timeout or an unreachable address says
nothing: clients elsewhere may get through. It must be asked from another host than the node: there,
the packets stay on loopback, which is never closed. And from no other mail node where it is port 25, which
stays open to the node's peers: what they see of it is EXCEPTED.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_AT_ONCE = 64


class Seen(StrEnum):
    REFUSED = "refused"
    ACCEPTED = "accepted"
    EXCEPTED = "excepted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one address and port did."""

    address: str
    port: int
    seen: Seen
    detail: str = ""

    def __str__(self) -> str:
        where = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return f"{where} {self.seen.value}{' (' + self.detail + ')' if self.detail else ''}"


Look = Callable[[Sequence[str], Sequence[int], float], Awaitable[tuple[Sight, ...]]]


async def look(addresses: Sequence[str], ports: Sequence[int], timeout_s: float) -> tuple[Sight, ...]:
    """Try every port of every address, side by side, each for at most `timeout_s`."""
    limit = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(address: str, port: int) -> Sight:
        async with limit:
            return await _connect(address, port, timeout_s)

    return tuple(await asyncio.gather(*(one(address, port) for address in addresses for port in ports)))


async def _connect(address: str, port: int, timeout_s: float) -> Sight:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return Sight(address, port, Seen.REFUSED)
    except TimeoutError:
        return Sight(address, port, Seen.UNKNOWN, f"no answer in {timeout_s:g} s")
    except OSError as error:
        return Sight(address, port, Seen.UNKNOWN, error.strerror or str(error))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Sight(address, port, Seen.ACCEPTED)
