"""TLS over any byte stream, with verification that says what is wrong.

The standard library's SSLObject does the work without a socket, so a pipe through a helper and a TCP
connection are treated alike. Certificates are always verified: a name or CA of one's own is a setting
(`ca_file`, `server_name`), trusting everybody is not. A context is made once and shared: loading the
system's CAs costs more than a probe.

Left out: session resumption. A resumed handshake does not look at the certificate again, so it would
miss the one that expired meanwhile.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mailward.health.dialogues.lines import printable
from mailward.health.streams import ByteStream, StreamFailed
from mailward.model.errors import ConfigError
from mailward.model.health import Certificate, FailureKind

_MAX_RECEIVED = 1024 * 1024
_DAY_S = 86400.0

_EXPIRED, _NOT_YET = 10, 9
_UNKNOWN_CA = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class TlsClient:
    """How to verify one server: `server_name` is the host name or address its certificate must have."""

    context: ssl.SSLContext
    server_name: str


@lru_cache(maxsize=8)
def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """The verifying context of `ca_file` or of the system's CAs, read once in a process's life.
    `ConfigError` if it cannot be read."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise ConfigError((f"{ca_file}: no PEM certificates in it ({error.reason})",)) from error
    except OSError as error:
        raise ConfigError((f"{ca_file}: {error.strerror}",)) from error


class TlsStream:
    """A byte stream inside TLS. `handshake` comes first."""

    def __init__(self, inner: ByteStream, client: TlsClient) -> None:
        self._inner = inner
        self._name = client.server_name
        self._received = 0
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = client.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=client.server_name
        )

    async def handshake(self, heard: Callable[[], None] = lambda: None) -> None:
        """Shake hands; `heard` is called when the server's first bytes arrive."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise StreamFailed(FailureKind.CLOSED, "in the TLS handshake") from None
                heard()
            except ssl.SSLCertVerificationError as error:
                raise StreamFailed(FailureKind.TLS, self._distrust(error)) from error
            except ssl.SSLError as error:
                raise StreamFailed(FailureKind.TLS, f"handshake: {_reason(error)}") from error
        await self._flush()

    def certificate(self, wall_s: float) -> Certificate:
        """The verified certificate as of `wall_s` (seconds since the epoch)."""
        shown: dict[str, Any] = self._tls.getpeercert() or {}
        names = tuple(printable(str(value).encode()) for _, value in shown.get("subjectAltName", ()))
        expires = ssl.cert_time_to_seconds(shown["notAfter"])
        issuer = {key: value for part in shown.get("issuer", ()) for key, value in part}
        label = issuer.get("commonName") or issuer.get("organizationName") or ""
        return Certificate(names, (expires - wall_s) / _DAY_S, printable(str(label).encode()))

    async def read(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise StreamFailed(FailureKind.TLS, _reason(error)) from error

    async def write(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise StreamFailed(FailureKind.TLS, _reason(error)) from error
        await self._flush()

    def close(self) -> None:
        """Without close_notify: whoever closes has read all it wanted."""
        self._inner.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._inner.write(self._outgoing.read())

    async def _fill(self) -> bool:
        """Take in what the peer sent; False at its end."""
        data = await self._inner.read()
        if not data:
            self._incoming.write_eof()
            return False
        self._received += len(data)
        if self._received > _MAX_RECEIVED:
            raise StreamFailed(FailureKind.PROTOCOL, f"more than {_MAX_RECEIVED} bytes of TLS")
        self._incoming.write(data)
        return True

    def _distrust(self, error: ssl.SSLCertVerificationError) -> str:
        """Which of the usual mistakes a refused certificate is."""
        if error.verify_code == _EXPIRED:
            return "the certificate has expired"
        if error.verify_code == _NOT_YET:
            return "the certificate is not valid yet"
        if error.verify_code in _UNKNOWN_CA:
            return f"the certificate's CA is unknown here ({error.verify_message})"
        if error.verify_code in _WRONG_NAME:
            return f"the certificate is not for {self._name}"
        return f"the certificate is not good: {error.verify_message}"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or error.strerror or type(error).__name__).lower().replace("_", " ")
