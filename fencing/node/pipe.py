"""A pipe between stdin/stdout and a service on loopback: how a service behind closed ports is probed.

TLS is spoken through it by the caller; nothing is read or changed here. It ends when the service does,
when the caller has gone, or after `IDLE_S` without a byte: no process is left behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import Any

from mailward.fencing.node import refusal
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.refusal import Refused

CONNECT_TIMEOUT_S = 2.0
IDLE_S = 120.0
_LOOPBACK = ("127.0.0.1", "::1")
_CHUNK = 65536


def reach(config: NodeConfig, service: str) -> socket.socket:
    """Connect to a configured service on loopback, IPv4 first."""
    port = config.services.get(service)
    if port is None:
        known = ", ".join(sorted(config.services))
        raise Refused(refusal.UNKNOWN_SERVICE, f"no service {service[:40]!r} on this node; it has {known}")
    problems = []
    for address in _LOOPBACK:
        try:
            return socket.create_connection((address, port), CONNECT_TIMEOUT_S)
        except socket.timeout:  # noqa: UP041 - before Python 3.10 it is no TimeoutError
            raise Refused(
                refusal.SERVICE_TIMEOUT, f"{address}:{port}: no answer in {CONNECT_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            problems.append(f"{address}:{port}: {error.strerror}")
    raise Refused(refusal.SERVICE_REFUSED, "; ".join(problems))


class Pipe:
    def __init__(self, service: socket.socket, stdin: int, stdout: int) -> None:
        self._service = service
        self._stdin = stdin
        self._stdout = stdout
        service.settimeout(IDLE_S)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: Any) -> None:
        self._service.close()

    def carry(self, first: bytes = b"") -> None:
        """Pass bytes both ways until one side is done. A half-closed stdin lets the service finish."""
        poller = select.poll()
        poller.register(self._service, select.POLLIN)
        poller.register(self._stdin, select.POLLIN)
        with contextlib.suppress(OSError):
            self._service.sendall(first)
            while ready := poller.poll(int(IDLE_S * 1000)):
                sources = {fd for fd, _ in ready}
                if self._service.fileno() in sources and not self._to_caller():
                    return
                if self._stdin in sources and not self._to_service():
                    poller.unregister(self._stdin)

    def _to_caller(self) -> bool:
        data = self._service.recv(_CHUNK)
        left = data
        while left:
            left = left[os.write(self._stdout, left) :]
        return bool(data)

    def _to_service(self) -> bool:
        data = os.read(self._stdin, _CHUNK)
        if data:
            self._service.sendall(data)
        else:
            self._service.shutdown(socket.SHUT_WR)
        return bool(data)
