"""Runs doveadm's words on a node over SSH: one warm connection, a session for each command.

Strict as the helper's rung is: the host key must be in `known_hosts_file`, the key is a file, and neither
ssh_config nor an agent is asked. A command that does not end well takes its connection with it, so that
sessions nobody waits for cannot pile up in a connection; the next command makes a new one. Nothing the
server says goes into an error but the exit status. Left out: keepalive; every use has a deadline, and a
dead connection costs one measurement.
"""

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from mailward.replication.sources.doveadm import DoveadmError, Malformed, Problem

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Rows of about 100 000 users, twice of what is judged; kept whole until the exit status is known."""
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class SshAccount:
    """Where and as whom. Both files are read with each new connection."""

    host: str
    user: str
    key_file: Path
    known_hosts_file: Path
    port: int = 22


class SshRunner:
    """A `Run`: exit status and standard output; the status is None where there is none.

    DoveadmError where no connection can be had, or too much is answered. Connecting has a deadline here;
    that of a command is its caller's, who cancels it."""

    def __init__(
        self,
        account: SshAccount,
        *,
        connect_timeout_s: float = 2.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._account = account
        self._connect_timeout_s = connect_timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()

    async def __call__(self, words: Sequence[str]) -> tuple[int | None, bytes]:
        connection = await self._connected()
        try:
            status, output = await self._run(connection, shlex.join(words))
        except (asyncssh.Error, OSError):
            self._give_up(connection)
            return None, b""
        except BaseException:
            self._give_up(connection)
            raise
        if status is None:
            self._give_up(connection)
        return status, output

    async def close(self) -> None:
        if self._connection is not None:
            self._give_up(self._connection)

    async def _run(self, connection: asyncssh.SSHClientConnection, command: str) -> tuple[int | None, bytes]:
        process = await connection.create_process(
            command, stdin=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL, encoding=None
        )
        output = bytearray()
        while piece := await process.stdout.read(_PIECE):
            output += piece
            if len(output) > self._max_answer_bytes:
                raise Malformed(f"an answer of more than {self._max_answer_bytes} bytes")
        await process.wait_closed()
        return None if process.exit_signal else process.exit_status, bytes(output)

    def _give_up(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()
        if self._connection is connection:
            self._connection = None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        account = self._account
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await asyncssh.connect(
                    account.host,
                    account.port,
                    username=account.user,
                    client_keys=[str(account.key_file)],
                    known_hosts=str(account.known_hosts_file),
                    config=None,
                    agent_path=None,
                    preferred_auth="publickey",
                )
        except TimeoutError as error:
            detail = f"no SSH connection within {self._connect_timeout_s:g} s"
            raise DoveadmError(Problem.TIMEOUT, detail) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise self._classed(error) from error

    def _classed(self, error: Exception) -> DoveadmError:
        account = self._account
        match error:
            case ConnectionRefusedError():
                return DoveadmError(Problem.REFUSED, f"SSH: nobody listens on port {account.port}")
            case asyncssh.HostKeyNotVerifiable():
                detail = f"SSH: its host key is not in {account.known_hosts_file}"
                return DoveadmError(Problem.DENIED, detail)
            case asyncssh.PermissionDenied():
                detail = f"SSH: {account.user} is not let in with {account.key_file}"
                return DoveadmError(Problem.DENIED, detail)
            case asyncssh.KeyImportError():
                return DoveadmError(Problem.DENIED, f"SSH: {account.key_file} is no key without a passphrase")
            case OSError():
                where = f"{error.filename}: " if error.filename else ""
                detail = f"SSH: {where}{error.strerror or type(error).__name__}"
                return DoveadmError(Problem.UNREACHABLE, detail)
        return DoveadmError(Problem.UNREACHABLE, f"SSH: {type(error).__name__}")
