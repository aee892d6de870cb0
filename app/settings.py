"""Where the command line finds the daemon's socket and store.

Taken from the configuration file without checking it: a mistake in it, or a secret that an operator may
not read, must not keep anybody from asking for the status or from pausing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_CONFIG = Path("/etc/mailward/mailward.yaml")
DEFAULT_SOCKET = Path("/run/mailward/mailward.sock")
DEFAULT_STORE = Path("/var/lib/mailward")
MAX_CONFIG_BYTES = 1024 * 1024
_TLS = ("ca", "cert", "key")


def socket_path(given: Path | None, config: Path) -> Path:
    """`given` if it was; else `api.socket` of the configuration; else the default."""
    return given or _path(config, ("api", "socket")) or DEFAULT_SOCKET


@dataclass(frozen=True, slots=True)
class ZooKeeperAt:
    """Where a cluster's store is, as the file says; `tls` are CA, certificate and key, `password_from` is a
    file or a variable."""

    cluster: str
    servers: tuple[str, ...]
    tls: tuple[Path, Path, Path] | None
    user: str | None = None
    password_from: Path | str = ""

    @property
    def password(self) -> str:
        """Of `user`: from its file or its variable, when it is needed. OSError where it cannot be read."""
        where = self.password_from
        return where.read_text().strip("\r\n") if isinstance(where, Path) else os.environ.get(where, "")

    def __str__(self) -> str:
        return f"in ZooKeeper at {', '.join(self.servers)}"


def store(config: Path) -> Path | ZooKeeperAt:
    """The directory of the embedded store, or where ZooKeeper is."""
    raw = _raw(config)
    found = _inside(raw, ("coordination", "zookeeper", "servers"))
    cluster = _inside(raw, ("cluster",))
    if isinstance(found, list) and found and isinstance(cluster, str):
        files = [_path(config, ("coordination", "zookeeper", "tls", f"{one}_file")) for one in _TLS]
        ca, certificate, key = files
        tls = (ca, certificate, key) if ca and certificate and key else None
        login = ("coordination", "zookeeper", "login")
        user, variable = (_inside(raw, (*login, key)) for key in ("user", "password_env"))
        password = _path(config, (*login, "password_file")) or str(variable)
        return ZooKeeperAt(
            cluster, tuple(map(str, found)), tls, user if isinstance(user, str) else None, password
        )
    return _path(config, ("coordination", "local", "directory")) or DEFAULT_STORE


def _path(config: Path, keys: tuple[str, ...]) -> Path | None:
    value = _inside(_raw(config), keys)
    return config.absolute().parent / value if isinstance(value, str) and value else None


def _inside(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _raw(config: Path) -> Any:
    import yaml

    try:
        with config.open("rb") as file:
            return yaml.safe_load(file.read(MAX_CONFIG_BYTES))
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return None
