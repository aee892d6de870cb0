"""`status` for people: one screen of 80 columns."""

from __future__ import annotations

from typing import Any

_APPLIED = {
    True: "yes",
    False: "NO: the firewall differs; `mailward-node restore` mends it",
}
_STOPPED = {
    True: "stopped, until an order starts them",
    False: "TO BE STOPPED, and not all of them are, or none is listed in node.json",
}
_BOOT = {
    "as-ordered": "as ordered last, also what is open",
    "closed": "closed, until the controller's next order",
}
_MIB = 1024 * 1024


def lines(facts: dict[str, Any]) -> list[str]:
    shown = [
        f"node      {facts['hostname']}",
        f"token     {facts['token'] or 'none yet'}",
        *(f"{'ports' if first else '':10}{name:14}{state}" for first, name, state in _first(facts["ports"])),
        f"applied   {_APPLIED.get(facts['applied'], 'unknown: the firewall could not be asked')}",
    ]
    if facts["lease"]:
        shown.append(f"lease     {_lease(facts['lease'])}")
    if facts["stopped"] is not None:
        shown.append(f"writers   {_STOPPED[facts['stopped']]}")
    shown.append(f"boot      {_BOOT[facts['boot']]}")
    if facts["forced"]:
        shown.append("forced    opened by root by hand, until the controller's next order")
    if facts["damage"]:
        shown.append(f"DAMAGED   {facts['damage']}")
    units = {name: _unit(unit) for name, unit in facts["units"].items()}
    shown += [f"{'units' if first else '':10}{name:14}{text}" for first, name, text in _first(units)]
    if facts["package_manager"]:
        shown.append("packages  a package manager is at work")
    paths = {name: _space(space) for name, space in facts["paths"].items()}
    shown += [f"{'space' if first else '':10}{name:14}{text}" for first, name, text in _first(paths)]
    return shown


def _lease(lease: dict[str, Any]) -> str:
    left_s = lease["left_s"]
    if left_s == 0:
        return "LAPSED: open ports are refused until the controller's next order"
    return f"of {lease['lease_s']:g} s, {'unknown' if left_s is None else f'{left_s} s'} left"


def _first(table: dict[str, str]) -> Any:
    return ((index == 0, name, text) for index, (name, text) in enumerate(sorted(table.items())))


def _unit(unit: dict[str, Any]) -> str:
    since = unit["since_s"]
    return str(unit["state"]) if since is None else f"{unit['state']} for {since:.0f} s"


def _space(space: dict[str, Any]) -> str:
    if space["free_bytes"] is None:
        return "unknown"
    inodes = "" if space["free_inodes"] is None else f", {space['free_inodes']} inodes"
    return f"{space['free_bytes'] // _MIB} MiB free of {space['total_bytes'] // _MIB}{inodes}"
