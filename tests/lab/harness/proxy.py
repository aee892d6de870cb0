"""A proxy that can hold what passes and deliver it later: a network that delays an update or an order.

`hold_next` catches the next thing on its way to the server that matches (any, by default). With UDP that is
a datagram. With TCP it is that connection's data from there on, kept also after the client has hung up;
`hold` freezes every open connection so. All else passes. `deliver` sends on what was held, in order;
answers to a vanished client are dropped. Listens on loopback; threads, for the tests around it are plain
functions.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.lab.harness.waiting import wait_until

CHUNK = 65536
QUIET_S = 0.2

Matching = Callable[[bytes], bool]


def anything(data: bytes) -> bool:
    return bool(data)


def is_dns_update(data: bytes) -> bool:
    """Whether the first bytes of a TCP stream are a DNS message with opcode UPDATE (after its length)."""
    return len(data) > 4 and (data[4] >> 3) & 0xF == 5


class _Pipe:
    """One TCP connection through the proxy. `catches` is asked about each chunk for the server."""

    def __init__(self, client: socket.socket, target: tuple[str, int], catches: Matching) -> None:
        self.client = client
        self.server = socket.create_connection(target, timeout=5)
        self.server.settimeout(None)
        self.passing = threading.Event()
        self.passing.set()
        self.has_held = False
        self._catches = catches
        for job in (self._upstream, self._downstream):
            threading.Thread(target=job, name="proxy", daemon=True).start()

    def _upstream(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.client.recv(CHUNK):
                if self._catches(data):
                    self.passing.clear()
                if not self.passing.is_set():
                    self.has_held = True
                    self.passing.wait()
                self.server.sendall(data)
        self.passing.wait()
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_WR)

    def _downstream(self) -> None:
        is_client_there = True
        with contextlib.suppress(OSError):
            while data := self.server.recv(CHUNK):
                if is_client_there:
                    try:
                        self.client.sendall(data)
                    except OSError:
                        is_client_there = False
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.passing.set()
        self.client.close()
        self.server.close()


class TcpProxy:
    """Passes connections at `address` on to `target`; a context manager."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._pipes: list[_Pipe] = []
        self._lock = threading.Lock()
        self._awaited: Matching | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for pipe in self._pipes:
                pipe.close()

    def hold(self) -> None:
        """Freeze every open connection's way to the server."""
        with self._lock:
            for pipe in self._pipes:
                pipe.passing.clear()

    def hold_next(self, matching: Matching = anything) -> None:
        """Freeze the connection on which the next matching data comes, from these data on."""
        with self._lock:
            self._awaited = matching

    def wait_held(self, deadline_s: float) -> None:
        """Wait until a frozen connection has something to hold."""
        wait_until(
            lambda: any(p.has_held for p in list(self._pipes)), "the proxy holds data", deadline_s, 0.02
        )

    def deliver(self) -> None:
        """Send on all that was held."""
        with self._lock:
            for pipe in self._pipes:
                pipe.passing.set()

    def _catches(self, data: bytes) -> bool:
        with self._lock:
            if self._awaited is None or not self._awaited(data):
                return False
            self._awaited = None
            return True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    try:
                        self._pipes.append(_Pipe(client, self._target, self._catches))
                    except OSError:
                        client.close()


class UdpProxy:
    """Passes datagrams at `address` on to `target`, one client address a question; a context manager."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(QUIET_S)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._closing = threading.Event()
        self._awaited: Matching | None = None
        self.held: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._socket.close()

    def hold_next(self, matching: Matching = anything) -> None:
        self._awaited = matching

    def deliver(self) -> list[bytes]:
        """Send on all that was held; the server's answers, which no client hears."""
        held, self.held = self.held, []
        return [answer for datagram in held if (answer := self._forward(datagram)) is not None]

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                datagram, client = self._socket.recvfrom(CHUNK)
            except TimeoutError:
                continue
            except OSError:
                return
            if self._awaited is not None and self._awaited(datagram):
                self._awaited = None
                self.held.append(datagram)
            else:
                threading.Thread(target=self._answer, args=(datagram, client), daemon=True).start()

    def _answer(self, datagram: bytes, client: tuple[str, int]) -> None:
        answer = self._forward(datagram)
        if answer is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(answer, client)

    def _forward(self, datagram: bytes) -> bytes | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(3)
            try:
                upstream.sendto(datagram, self._target)
                return upstream.recv(CHUNK)
            except OSError:
                return None
