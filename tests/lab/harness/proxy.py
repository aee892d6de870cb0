"""A proxy that can hold what passes and deliver it later: a network that delays an update or an order.

TCP: `hold` freezes every connection then open (what the client sends is kept, also after it has hung up);
later connections pass untouched. `hold_next` freezes the next connection instead, from its first byte. UDP:
`hold_next` keeps the next datagram. `deliver` sends on what was held, in order; answers to a vanished
client are dropped. Listens on loopback; threads, for the tests around it are plain functions.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

CHUNK = 65536
QUIET_S = 0.2


class _Pipe:
    """One TCP connection through the proxy."""

    def __init__(self, client: socket.socket, target: tuple[str, int], is_held: bool) -> None:
        self.client = client
        self.server = socket.create_connection(target, timeout=5)
        self.server.settimeout(None)
        self.passing = threading.Event()
        if not is_held:
            self.passing.set()
        self.has_held = threading.Event()
        for job in (self._upstream, self._downstream):
            threading.Thread(target=job, daemon=True).start()

    def _upstream(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.client.recv(CHUNK):
                if not self.passing.is_set():
                    self.has_held.set()
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
        self._hold_next = False

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

    def hold_next(self) -> None:
        """Freeze the next connection from its first byte."""
        with self._lock:
            self._hold_next = True

    def wait_held(self, deadline_s: float) -> bool:
        """Whether within the deadline some frozen connection had something to hold."""
        waited = threading.Event()
        for _ in range(max(1, int(deadline_s / 0.02))):
            with self._lock:
                if any(pipe.has_held.is_set() for pipe in self._pipes):
                    return True
            waited.wait(0.02)
        return False

    def deliver(self) -> None:
        """Send on all that was held."""
        with self._lock:
            for pipe in self._pipes:
                pipe.passing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    is_held, self._hold_next = self._hold_next, False
                    try:
                        self._pipes.append(_Pipe(client, self._target, is_held))
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
        self._hold_next = False
        self.held: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._socket.close()

    def hold_next(self) -> None:
        self._hold_next = True

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
            if self._hold_next:
                self._hold_next = False
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
