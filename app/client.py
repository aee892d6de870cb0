"""The command line's way to the daemon: its API over the Unix socket, one short call at a time.

Every failure is a sentence for whoever typed the command, with what to try. Nothing is tried twice: a
request that may have been left must not be left again.
"""

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    UnixConnector,
)

from mailward.app.wording import printable
from mailward.controller.clock import SystemClock
from mailward.model.errors import MailwardError

TIMEOUT_S = 12.0
EXPIRES = "Mailward-Expires"
"""Boot time after which a call is void: nobody waits for it any more, and its sender may have done
something else instead. Only over the Unix socket, where both sides have one clock."""
MAX_ANSWER_BYTES = 8 * 1024 * 1024
TRY = "Try: systemctl status mailward; journalctl -u mailward -n 50"


class Unreachable(MailwardError):
    """The daemon does not answer."""


class BrokenOff(Unreachable):
    """It was there, and went away before it had answered: what was asked for may have been done."""


class Rejected(MailwardError):
    """The daemon answered, and said no. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def call(socket: Path, method: str, path: str, body: Any = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """The answer's body. Unreachable, BrokenOff or Rejected otherwise."""
    return asyncio.run(_call(socket, method, path, body, timeout_s))


async def _call(socket: Path, method: str, path: str, body: Any, timeout_s: float) -> bytes:
    timeout = ClientTimeout(total=timeout_s)
    try:
        async with (
            ClientSession(
                "http://mailward",
                connector=UnixConnector(str(socket)),
                timeout=timeout,
                headers={EXPIRES: f"{SystemClock().now().boot_s + timeout_s:.3f}"},
            ) as session,
            session.request(method, path, json=body) as response,
        ):
            answer, status = await _whole(response), response.status
    except ClientConnectorError as error:
        raise Unreachable(_unreachable(socket, error.os_error)) from error
    except TimeoutError as error:
        raise Unreachable(f"mailward did not answer on {socket} within {timeout_s:g} s. {TRY}") from error
    except (ClientError, OSError) as error:
        text = printable(str(error) or type(error).__name__)
        raise BrokenOff(f"mailward broke off on {socket}: {text}. {TRY}") from error
    if status >= 400:
        raise Rejected(status, _message(answer, status))
    return answer


async def _whole(response: ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise ClientPayloadError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def _unreachable(socket: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"mailward does not run here: there is no socket {socket}. {TRY}"
        case errno.ECONNREFUSED:
            return f"mailward does not run here: nobody listens on {socket}. {TRY}"
        case errno.EACCES | errno.EPERM:
            return f"you may not open {socket}: use sudo, or join the group which owns it"
        case _:
            return f"cannot reach mailward on {socket}: {error.strerror or error}. {TRY}"


def _message(answer: bytes, status: int) -> str:
    try:
        return printable(json.loads(answer)["message"], 600)
    except (ValueError, KeyError, TypeError):
        return f"mailward answered {status} without saying why"
