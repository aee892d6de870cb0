"""`node.json`: which ports are the clients', and what `status` looks at.

Every mistake is listed at once, with the path of its key and what would be right. Observers are not
configured: a closed port refuses them like everybody else.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mailward.fencing.node import strictjson
from mailward.fencing.node.refusal import CONFIG, Refused

DEFAULT_PATH = "/etc/mailward/node.json"
DEFAULT_STATE_DIR = "/var/lib/mailward-node"
DEFAULT_RUN_DIR = "/run/mailward-node"
SSH_PORT = 22

_KEYS = (
    "services",
    "replication_ports",
    "peers",
    "units",
    "writers",
    "hooks",
    "boot",
    "paths",
    "state_dir",
    "run_dir",
)
BOOTS = ("as-ordered", "closed")
_UNIT_COMMANDS = ("status", "start", "stop")
_HOOKS = ("promote", "demote")
_HOOK_TIMEOUT_S = 30
HOOK_TIMEOUTS_S = (1, 120)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SIZE_LIMIT = 256 * 1024


class Unit(NamedTuple):
    """How to learn a unit's state, and to start and stop it: by systemd, or by commands (see `units`)."""

    name: str
    systemd: str | None
    status: tuple[str, ...]
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


class HookCommands(NamedTuple):
    """What is run at a promotion or demotion, and what verifies it; both within `timeout_s`."""

    command: tuple[str, ...]
    verify: tuple[str, ...]
    timeout_s: float


class NodeConfig(NamedTuple):
    services: dict[str, int]
    replication_ports: tuple[int, ...]
    peers: tuple[str, ...]
    units: tuple[Unit, ...]
    paths: dict[str, str]
    state_dir: str
    run_dir: str
    writers: tuple[str, ...] = ()
    hooks: Mapping[str, HookCommands] = MappingProxyType({})
    boot: str = "as-ordered"

    @property
    def writing(self) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.name in self.writers)


def load_config(path: str) -> NodeConfig:
    """Read and check the file; `Refused` lists every mistake in it."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_SIZE_LIMIT + 1)
        if len(raw) > _SIZE_LIMIT:
            raise ValueError(f"larger than {_SIZE_LIMIT} bytes")
        document = strictjson.loads(raw.decode())
    except OSError as error:
        raise Refused(CONFIG, f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(CONFIG, f"{path}: not JSON: {error}") from error
    check = _Check()
    config = check.config(document)
    if check.problems:
        raise Refused(CONFIG, "\n".join(f"{path}: {problem}" for problem in check.problems))
    return config


class _Check:
    """Reads the document and gathers its mistakes."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, where: str, found: object, right: str) -> None:
        self.problems.append(f"{where}: {json.dumps(found)[:80]} is not {right}")

    def config(self, document: object) -> NodeConfig:
        top = self.table("the file", document)
        for key in sorted(set(top) - set(_KEYS)):
            self.problems.append(f"{key}: unknown key; known are {', '.join(_KEYS)}")
        services = self.services(top.get("services"))
        replication = self.each("replication_ports", top.get("replication_ports", []), self.port)
        for name, port in services.items():
            if port in replication:
                self.problems.append(f"services.{name}: {port} is also in replication_ports, never closed")
        table = self.table("units", top.get("units", {}))
        units = tuple(self.unit(f"units.{name}", name, unit) for name, unit in table.items())
        paths = self.table("paths", top.get("paths", {}))
        return NodeConfig(
            services=services,
            replication_ports=tuple(replication),
            peers=tuple(self.each("peers", top.get("peers", []), self.address)),
            units=units,
            paths={name: self.path(f"paths.{name}", path) for name, path in paths.items()},
            state_dir=self.path("state_dir", top.get("state_dir", DEFAULT_STATE_DIR)),
            run_dir=self.path("run_dir", top.get("run_dir", DEFAULT_RUN_DIR)),
            writers=self.writers(top.get("writers", []), {unit.name: unit for unit in units}),
            hooks=self.hooks(self.table("hooks", top.get("hooks", {}))),
            boot=self.boot(top.get("boot", BOOTS[0])),
        )

    def boot(self, found: object) -> str:
        if found not in BOOTS:
            self.wrong("boot", found, f"one of {', '.join(BOOTS)}")
        return str(found)

    def services(self, found: object) -> dict[str, int]:
        ports: dict[str, int] = {}
        if not isinstance(found, dict) or not found:
            self.wrong(
                "services", found, 'a table of client services and ports, as {"smtp": 25, "imaps": 993}'
            )
            return ports
        for name, port in found.items():
            where = f"services.{name}"
            if not _NAME.fullmatch(name):
                self.wrong(where, name, "a service name (lower-case letters, digits, hyphens)")
            number = self.port(where, port)
            if number == SSH_PORT:
                self.wrong(where, port, "a client port: closing it would shut out the controller's SSH")
            elif number and number in ports.values():
                self.wrong(where, port, "a port of its own: another service has it")
            ports[name] = number
        return ports

    def unit(self, where: str, name: str, found: object) -> Unit:
        table = self.table(where, found)
        systemd = table.get("systemd")
        for key in sorted(set(table) - {"systemd", *_UNIT_COMMANDS}):
            self.problems.append(
                f"{where}.{key}: unknown key; known are systemd, {', '.join(_UNIT_COMMANDS)}"
            )
        commands = {key: self.command(f"{where}.{key}", table.get(key, [])) for key in _UNIT_COMMANDS}
        if systemd is not None and (not isinstance(systemd, str) or not systemd or systemd.startswith("-")):
            self.wrong(f"{where}.systemd", systemd, 'a unit name, as "dovecot.service"')
        elif (systemd is None) == (not commands["status"]):
            self.wrong(where, found, 'either {"systemd": "NAME.service"} or {"status": ["command", ...]}')
        return Unit(name, systemd if isinstance(systemd, str) else None, **commands)

    def writers(self, found: object, units: dict[str, Unit]) -> tuple[str, ...]:
        def writer(where: str, name: object) -> str:
            unit = units.get(name) if isinstance(name, str) else None
            if unit is None:
                self.wrong(where, name, f"one of units: {', '.join(units) or 'there are none'}")
            elif unit.systemd is None and not (unit.start and unit.stop):
                self.wrong(
                    where, name, 'a unit that can be stopped: it needs "systemd", or "stop" and "start"'
                )
            return str(name)

        return tuple(self.each("writers", found, writer))

    def hooks(self, table: dict[str, Any]) -> dict[str, HookCommands]:
        for name in sorted(set(table) - set(_HOOKS)):
            self.problems.append(f"hooks.{name}: unknown key; known are {', '.join(_HOOKS)}")
        return {name: self.hook(f"hooks.{name}", table[name]) for name in _HOOKS if name in table}

    def hook(self, where: str, found: object) -> HookCommands:
        table = self.table(where, found)
        for key in sorted(set(table) - {"command", "verify", "timeout_s"}):
            self.problems.append(f"{where}.{key}: unknown key; known are command, verify, timeout_s")
        for key in ("command", "verify"):
            if not table.get(key):
                self.wrong(f"{where}.{key}", table.get(key), "there, and a hook wants both")
        timeout_s = table.get("timeout_s", _HOOK_TIMEOUT_S)
        least_s, most_s = HOOK_TIMEOUTS_S
        number = isinstance(timeout_s, (int, float)) and not isinstance(timeout_s, bool)
        if not number or not least_s <= timeout_s <= most_s:
            self.wrong(f"{where}.timeout_s", timeout_s, f"a number of {least_s} to {most_s} seconds")
        command, verify = (
            self.command(f"{where}.{key}", table.get(key, [])) for key in ("command", "verify")
        )
        return HookCommands(command, verify, float(timeout_s) if number else 0.0)

    def command(self, where: str, found: object) -> tuple[str, ...]:
        if isinstance(found, list) and all(isinstance(word, str) and word for word in found):
            return tuple(found)
        self.wrong(where, found, 'a command as a list of words, as ["/usr/bin/doveadm", "status"]')
        return ()

    def table(self, where: str, found: object) -> dict[str, Any]:
        if isinstance(found, dict):
            return found
        self.wrong(where, found, "a table ({...})")
        return {}

    def each(self, where: str, found: object, read: Any) -> list[Any]:
        if isinstance(found, list):
            return [read(f"{where}[{index}]", item) for index, item in enumerate(found)]
        self.wrong(where, found, "a list ([...])")
        return []

    def port(self, where: str, found: object) -> int:
        if isinstance(found, int) and not isinstance(found, bool) and 0 < found < 65536:
            return found
        self.wrong(where, found, "a port number from 1 to 65535")
        return 0

    def address(self, where: str, found: object) -> str:
        try:
            return str(ipaddress.ip_network(found if isinstance(found, str) else "", strict=False))
        except ValueError:
            self.wrong(where, found, "an IP address or network; names are not looked up here")
            return ""

    def path(self, where: str, found: object) -> str:
        if isinstance(found, str) and found.startswith("/") and "\0" not in found:
            return found
        self.wrong(where, found, "an absolute path")
        return "/"
