"""Run another program with a deadline and bounded output; it is killed with all its children.

A program that is missing, hangs, or says too much gives a value, never an exception: `code` is None.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mailward.fencing.node.clock import Deadline

OUTPUT_LIMIT = 1024 * 1024
KEPT = 4096
_MOMENT_S = 0.02
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


class Ran(NamedTuple):
    """`code` is None if the program could not be started or did not end in time."""

    code: int | None
    out: str
    err: str

    @property
    def complaint(self) -> str:
        return (self.err.strip() or self.out.strip() or f"exit code {self.code}")[:500]


def environment() -> dict[str, str]:
    """Plain English, and the system's programs found even from a bare login."""
    path = os.environ.get("PATH", "")
    return {**os.environ, "LC_ALL": "C", "PATH": f"{path}:{_SYSTEM_PATH}" if path else _SYSTEM_PATH}


def run(argv: Sequence[str], stdin: str = "", timeout_s: float = 2.0) -> Ran:
    """Run `argv`, feed it `stdin`, and wait for its end at most `timeout_s`."""
    deadline = Deadline(timeout_s)
    source = os.memfd_create("stdin")  # a file: writing can never block on a program that does not read
    try:
        os.write(source, stdin.encode())
        os.lseek(source, 0, os.SEEK_SET)
        process = _start(argv, source, environment())
    except (OSError, ValueError) as error:
        return Ran(None, "", f"{argv[0]}: {getattr(error, 'strerror', None) or error}")
    finally:
        os.close(source)
    with contextlib.closing(_Output(process)) as output:
        ended = output.collect(deadline)
        if ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=max(0.05, deadline.left_s()))
                return Ran(code, *output.texts())
        _kill(process)
        return Ran(None, output.texts()[0], f"{argv[0]}: no end within {timeout_s:g} s or too much output")


def work(argv: Sequence[str], timeout_s: float) -> Ran:
    """Run what may leave a service behind: it has ended when it has, whoever still holds its output. `out`
    has the last `KEPT` bytes of stdout and stderr together."""
    deadline = Deadline(timeout_s)
    try:
        process = _start(argv, subprocess.DEVNULL, environment(), stderr=subprocess.STDOUT)
    except (OSError, ValueError) as error:
        return Ran(None, "", f"{argv[0]}: {getattr(error, 'strerror', None) or error}")
    assert process.stdout is not None
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        kept = b""
        while process.poll() is None and not deadline.passed():
            kept = _read_on(pipe.fileno(), kept)
        ended = process.poll() is not None
        if not ended:
            _kill(process)
        out = _read_on(pipe.fileno(), kept).decode(errors="replace")
    if ended:
        return Ran(process.returncode, out, "")
    return Ran(None, out, f"{argv[0]}: no end within {timeout_s:.2g} s")


def _read_on(fd: int, kept: bytes) -> bytes:
    """What has come meanwhile, after a moment at most."""
    select.select([fd], [], [], _MOMENT_S)
    try:
        chunk = os.read(fd, 65536)
    except BlockingIOError:
        return kept
    if not chunk:
        time.sleep(_MOMENT_S)  # nobody can say anything more; it may run on
    return (kept + chunk)[-KEPT:]


def _start(
    argv: Sequence[str], stdin: int, env: Mapping[str, str], stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        list(argv), stdin=stdin, stdout=pipe, stderr=stderr, env=dict(env), start_new_session=True
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children; one stuck in the kernel is left behind."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)


class _Output:
    """stdout and stderr of a program, read side by side."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = {process.stdout.fileno(): process.stdout, process.stderr.fileno(): process.stderr}
        self._read: dict[int, bytearray] = {fd: bytearray() for fd in self._pipes}

    def collect(self, deadline: Deadline) -> bool:
        """Read until both have ended; False when the deadline or the limit came first."""
        poller = select.poll()
        for fd in self._pipes:
            poller.register(fd, select.POLLIN)
        pending = set(self._pipes)
        while pending and not deadline.passed():
            for fd, _ in poller.poll(int(deadline.left_s() * 1000) + 1):
                chunk = os.read(fd, 65536)
                self._read[fd] += chunk
                if len(self._read[fd]) > OUTPUT_LIMIT:
                    return False
                if not chunk:
                    poller.unregister(fd)
                    pending.discard(fd)
        return not pending

    def texts(self) -> tuple[str, str]:
        out, err = (bytes(data).decode(errors="replace") for data in self._read.values())
        return out, err

    def close(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
