"""Where the command line finds the daemon's socket and store.

Taken from the configuration file without checking it: a mistake in it, or a secret that an operator may
not read, must not keep anybody from asking for the status or from pausing.
"""

from pathlib import Path
from typing import Any

DEFAULT_CONFIG = Path("/etc/mailward/mailward.yaml")
DEFAULT_SOCKET = Path("/run/mailward/mailward.sock")
DEFAULT_STORE = Path("/var/lib/mailward")
MAX_CONFIG_BYTES = 1024 * 1024


def socket_path(given: Path | None, config: Path) -> Path:
    """`given` if it was; else `api.socket` of the configuration; else the default."""
    return given or _path(config, ("api", "socket")) or DEFAULT_SOCKET


def store_directory(config: Path) -> Path:
    return _path(config, ("coordination", "local", "directory")) or DEFAULT_STORE


def _path(config: Path, keys: tuple[str, ...]) -> Path | None:
    value: Any = _raw(config)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return config.absolute().parent / value if isinstance(value, str) and value else None


def _raw(config: Path) -> Any:
    import yaml

    try:
        with config.open("rb") as file:
            return yaml.safe_load(file.read(MAX_CONFIG_BYTES))
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return None
