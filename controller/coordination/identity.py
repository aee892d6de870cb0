"""Who a daemon is to ZooKeeper's servers and to the other daemons."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: a certificate with its key, and the authority whose certificates are believed."""

    ca_file: Path
    cert_file: Path
    key_file: Path
