"""A client's session that is held, and asked again and again: until when it is answered."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

from tests.lab.harness.layout import IMAP
from tests.lab.harness.node import MailNode

PERIOD_S = 0.05
PATIENCE_S = 1.0


class Held:
    """One IMAP session with a node, before its login, which Dovecot gives three minutes; a context manager.
    `answered` is when it had its last answer (`time.time()`), `ended` whether there will be no more."""

    def __init__(self, node: MailNode) -> None:
        self.answered = 0.0
        self.ended = False
        self._node = node
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._socket = socket.create_connection((self._node.address, IMAP), timeout=5)
        assert self._socket.recv(1000).startswith(b"* OK"), "no greeting"
        self._socket.settimeout(PATIENCE_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._socket.close()

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                self._socket.sendall(b"a NOOP\r\n")
                if not self._socket.recv(1000):
                    break
                self.answered = time.time()
                self._stopping.wait(PERIOD_S)
        self.ended = not self._stopping.is_set()
