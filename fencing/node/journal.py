"""Who did what and when: a line to syslog for everything, a file as well for what root did by hand.

Never in the way: the socket does not block, and a journal that cannot be written fails nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

_TAG = "mailward-node"
_NOTICE_OF_DAEMON = "<29>"
_SYSLOG = "/dev/log"
_FILE_LIMIT = 1024 * 1024
_LINE_LIMIT = 2000


def note(text: str) -> None:
    """One line to syslog."""
    line = f"{_NOTICE_OF_DAEMON}{_TAG}[{os.getpid()}]: {_one_line(text)}".encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.setblocking(False)
        log.connect(_SYSLOG)
        log.send(line)


def note_by_hand(state_dir: str, text: str) -> None:
    """One line to syslog and to `journal.log` beside the state, with the person behind sudo."""
    who = os.environ.get("SUDO_USER") or f"uid {os.getuid()}"
    entry = f"{_one_line(text)} (by {who})"
    note(entry)
    path = os.path.join(state_dir, "journal.log")
    with contextlib.suppress(OSError):
        if os.path.exists(path) and os.path.getsize(path) > _FILE_LIMIT:
            os.replace(path, f"{path}.1")
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {entry}\n")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LINE_LIMIT]
