"""Who a daemon is to ZooKeeper's servers and to the other daemons."""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: a certificate with its key, and the authority whose certificates are believed."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    def context(self, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> ssl.SSLContext:
        """Both sides show a certificate. OSError (also ssl.SSLError) where a file cannot be used: nobody is
        asked for a passphrase."""
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        self.load_into(context)
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """The files as they are now, for whoever connects from now on."""
        context.load_verify_locations(str(self.ca_file))
        context.load_cert_chain(str(self.cert_file), str(self.key_file), password="")

    def written(self) -> tuple[float, ...]:
        """When its files were, as far as that can be seen."""
        return tuple(_written(file) for file in (self.ca_file, self.cert_file, self.key_file))


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
