"""This daemon's own certificates: by them ZooKeeper and the other daemons know it, and it knows them.

Those of one batch end on one day, and with them the store, leases and promises at once. A new file is used by
itself; who is to make one has to be told in time.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from mailward.configs.schema import Config
from mailward.controller.coordination.tls import Tls
from mailward.controller.core.conditions import CERT_WARNING_DAYS

DAY_S = 86400.0
_SO = {
    "cert_file": "then neither ZooKeeper nor another daemon believes this one",
    "ca_file": "then this daemon believes neither ZooKeeper nor another daemon",
}


@dataclass(frozen=True, slots=True)
class Lasting:
    """Until when what is in a file holds, since 1970; None where `trouble` says why that cannot be told."""

    key: str
    file: str
    until_unix_s: float | None
    trouble: str = ""

    def days_left(self, now_unix_s: float) -> float | None:
        return None if self.until_unix_s is None else (self.until_unix_s - now_unix_s) / DAY_S

    def told(self, now_unix_s: float) -> str:
        """What a person has to do something about, '' where nothing."""
        left = self.days_left(now_unix_s)
        if left is None:
            return f"{self.file} cannot be read any more: {self.trouble}"
        if left >= CERT_WARNING_DAYS:
            return ""
        if left < 0:
            return f"{self.file} has expired: {_SO[self.key].removeprefix('then ')}"
        return f"{self.file} has {left:.0f} days left: {_SO[self.key]}"


class Certificates:
    """Of this daemon; read anew when a file is written."""

    def __init__(self, config: Config) -> None:
        zookeeper = config.coordination.zookeeper
        tls = zookeeper.tls if zookeeper is not None else None
        self._tls = Tls(tls.ca_file, tls.cert_file, tls.key_file) if tls is not None else None
        self._written: tuple[float, ...] | None = None
        self._lasting: tuple[Lasting, ...] = ()

    def lasting(self) -> tuple[Lasting, ...]:
        """Nothing without TLS."""
        if self._tls is not None and (written := self._tls.written()) != self._written:
            self._written = written
            files = {"cert_file": self._tls.cert_file, "ca_file": self._tls.ca_file}
            self._lasting = tuple(_look(key, file) for key, file in files.items())
        return self._lasting


def _look(key: str, file: Path) -> Lasting:
    """A chain holds until its first certificate ends; of several authorities one is enough."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        return Lasting(key, str(file), None, getattr(error, "strerror", None) or str(error))
    ends = [each.not_valid_after_utc.timestamp() for each in found]
    return Lasting(key, str(file), min(ends) if key == "cert_file" else max(ends))
