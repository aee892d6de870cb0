"""One call of an agent: options and action as `key=value` lines on its stdin, its secrets nowhere else.

The deadline holds without us: coreutils' `timeout` starts the agent in a session of its own and kills the
whole group with KILL, also when this daemon is dead by then. (With TERM first, it is done once the agent
has ended, and a child that ignores TERM stays: tried.) It does not count while the host sleeps. What leaves
the group is not killed; agents that do so have their children on a terminal, and these end with it.

What an agent says is bounded, and no secret of ours is in what is shown of it. Left out: retries, and
environment variables: the agent gets four, and none of ours.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_LIMIT = 256 * 1024  # bytes of each stream; who says more is killed
SHOWN = 300  # characters
_GRACE_S = 1.0  # for `timeout` to do its work before we do it
_REST_S = 0.5  # for what was said before the end
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Agent:
    """A program, by name or absolute path, and what it is told. `secrets` are options, too."""

    program: str
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> str | None:
        """Where it is; None when it is not, or cannot be executed."""
        return shutil.which(self.program, path=_search_path())

    def hidden(self, text: str) -> str:
        """The text without a secret, on one line, and short."""
        forms = {form for secret in self.secrets.values() for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, "***")
            # Who is killed may be in the middle of it.
            cut = next((n for n in range(len(form) - 1, 2, -1) if text.endswith(form[:n])), 0)
            text = text[: len(text) - cut] + ("***" if cut else "")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= SHOWN else line[:SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class Ran:
    """An agent that was started. `code` is None where it was ended, and `trouble` says why."""

    code: int | None
    out: bytes
    err: bytes
    trouble: str = ""


class NotStarted(Exception):
    """It was not started, so nothing was done; why, for people and without a secret."""


def stdin_of(action: str, options: Mapping[str, str]) -> bytes:
    """The lines that say what to do. NotStarted where a value would be more than its line: a line of its
    own could be an action. Without an action agents reboot."""
    lines = [f"action={action}"]
    for name, value in options.items():
        if not name.isprintable() or not value.isprintable() or "=" in name or name == "action":
            raise NotStarted(f"{name!r} cannot be told in one line")
        bare = value == value.strip() and not (value[:1] == value[-1:] == '"')
        lines.append(f"{name}={value}" if bare else f'{name}="{value}"')  # agents strip one pair of quotes
    return "".join(f"{line}\n" for line in lines).encode()


async def call(path: str, arguments: Sequence[str], told: bytes, timeout_s: float) -> Ran:
    """Run a program with `told` on its stdin; it and its children are gone after `timeout_s`. Raises
    NotStarted."""
    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(_Output()) for _ in range(2))
        process = _start(path, arguments, told, timeout_s, out, err)
        try:
            end = await _first_end(process, out, err, timeout_s)
        finally:
            # Before it is waited for, so that its number, the group's, is nobody else's yet.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        await asyncio.wait([out.ended, err.ended], timeout=_REST_S)
        said = bytes(out.said), bytes(err.said)
    if end:
        return Ran(None, *said, end)
    if code == -signal.SIGKILL:
        return Ran(None, *said, f"not done within {timeout_s:.3g} s")
    return Ran(code, *said)


async def _first_end(process: subprocess.Popen[bytes], out: _Output, err: _Output, timeout_s: float) -> str:
    """Wait until it has ended, '', or why it has to be ended."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    pidfd = os.pidfd_open(process.pid)
    loop.add_reader(pidfd, _settle, ended)
    try:
        waiting = [ended, out.full, err.full]
        done, _ = await asyncio.wait(
            waiting, timeout=timeout_s + _GRACE_S, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    if ended in done:
        return ""
    return f"it said more than {OUTPUT_LIMIT >> 10} KiB" if done else f"not done within {timeout_s:.3g} s"


def _start(
    path: str, arguments: Sequence[str], told: bytes, timeout_s: float, out: _Output, err: _Output
) -> subprocess.Popen[bytes]:
    plain = {"LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"}
    env = {"PATH": _search_path(), "HOME": os.environ.get("HOME", "/"), **plain}
    # To `timeout`, 0 is no limit.
    command = ["timeout", "--signal=KILL", f"{max(timeout_s, 0.01):.3f}", path, *arguments]
    stdin = os.memfd_create("stdin")
    try:
        os.write(stdin, told)
        os.lseek(stdin, 0, os.SEEK_SET)
        return subprocess.Popen(
            command, stdin=stdin, stdout=out.theirs, stderr=err.theirs, cwd="/", env=env,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NotStarted(f"{path} cannot be started: {error.strerror}") from error
    finally:
        os.close(stdin)
        out.let_go()
        err.let_go()


class _Output:
    """A pipe, and what came out of it. `ended` is settled at its end, and `full` as
    well when it was too much: then nothing is kept."""

    def __init__(self) -> None:
        self.said = bytearray()
        self._loop = asyncio.get_running_loop()
        self.full: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._ours, self.theirs = os.pipe()

    def __enter__(self) -> _Output:
        os.set_blocking(self._ours, False)
        self._loop.add_reader(self._ours, self._readable)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._ours)
        os.close(self._ours)
        self.let_go()

    def let_go(self) -> None:
        """The other end is then the program's alone."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def _readable(self) -> None:
        try:
            chunk = os.read(self._ours, _CHUNK)
        except BlockingIOError:
            return
        self.said += chunk
        if chunk and len(self.said) <= OUTPUT_LIMIT:
            return
        self._loop.remove_reader(self._ours)
        _settle(self.ended)
        if chunk:
            self.said.clear()
            _settle(self.full)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:{PATH}".lstrip(":")


def _forms(secret: str) -> set[str]:
    """How a secret may stand in what a program says: bare, or in some notation of its own."""
    dumped = json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)
    found = {secret, shlex.quote(secret), quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found |= {text[1:-1] for text in dumped}
    for shift in range(
        3
    ):  # base64 of a text with the secret in it: of what goes before, only the length counts
        shifted = bytes(shift) + secret.encode()
        whole = base64.b64encode(shifted)[: len(shifted) // 3 * 4].decode()
        found.add(whole[(0, 2, 3)[shift] :] if len(whole) > 8 else "")
    return found - {""}
