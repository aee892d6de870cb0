"""The nftables backend: one table, `inet mailward`, replaced as a whole in one transaction.

Our chains come just before the usual filter priority, so that another firewall's DROP cannot hide
the refusal; an ACCEPT of another table cannot undo it. `flush ruleset`, as a reload of Debian's
nftables.service does it, removes our table too: `status` then says that the map is not applied.
Only ours is read back: another's sets may be longer than what is read of any program.

A lease is an element with a timeout in the set `leased`, for each port in the set `held`. Deleting an
element that has timed out fails, and with it the whole transaction: so a renewal (delete, add) cannot
bring back what has lapsed. The kernel counts a lease in its own running time, which stands still while
the machine is suspended.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from mailward.fencing.node import strictjson
from mailward.fencing.node.commands import run
from mailward.fencing.node.firewall import SMTP_PORT, TIMEOUT_S, Plan, Shown

TABLE = "inet mailward"
_REMOVE = f"table {TABLE}\ndelete table {TABLE}\n"  # declared first, so that deleting cannot fail


class Nftables:
    name = "nftables"
    leases = True

    def works(self) -> bool:
        return run(["nft", "list", "tables"], timeout_s=TIMEOUT_S).code == 0

    def apply(self, plan: Plan) -> str:
        return _load(ruleset(plan))

    def renew(self, plan: Plan, timeout_s: float) -> str:
        return _load(renewal(plan), timeout_s)

    def remove(self) -> str:
        return _load(_REMOVE)

    def shown(self) -> Shown | None:
        ran = run(["nft", "-j", "list", "table", *TABLE.split()], timeout_s=TIMEOUT_S)
        if ran.code != 0:
            return Shown() if ran.code is not None and _has_no_table() else None
        try:
            return shown_in(strictjson.loads(ran.out)["nftables"])
        except (ValueError, KeyError, TypeError):
            return None


def _has_no_table() -> bool:
    """Whether ours is not there, for certain: to list it fails then, as it does for other reasons."""
    ran = run(["nft", "list", "tables", "inet"], timeout_s=TIMEOUT_S)
    return ran.code == 0 and f"table {TABLE}" not in ran.out.splitlines()


def _load(rules: str, timeout_s: float = TIMEOUT_S) -> str:
    ran = run(["nft", "-f", "-"], stdin=rules, timeout_s=timeout_s)
    return "" if ran.code == 0 else f"nft: {ran.complaint}"


def ruleset(plan: Plan) -> str:
    """The whole table as text. nft 1.0.6 wants each statement and brace on its own line."""
    return (
        _REMOVE
        + f"table {TABLE} {{\n"
        + _set("closed", map(str, sorted(plan.closed)))
        + _set("held", map(str, sorted(plan.held)))
        # With its elements in the same transaction: mail must not stop when it is loaded.
        + _set("leased", _elements(plan) if plan.lease_s is not None else (), "    flags timeout\n")
        + _chain("input", "iif", "saddr", "dport", plan.peers)
        # A reset must get out: the refusal of `input` is itself a packet that leaves here.
        + _chain("output", "oif", "daddr", "sport", plan.peers, " tcp flags & rst == 0")
        + "}\n"
    )


def renewal(plan: Plan) -> str:
    """One transaction that fails as a whole when any of the elements has timed out."""
    return (
        f"delete element {TABLE} leased {{ {', '.join(map(str, sorted(plan.held)))} }}\n"
        f"add element {TABLE} leased {{ {', '.join(_elements(plan))} }}\n"
    )


def _elements(plan: Plan) -> list[str]:
    return [f"{port} timeout {round((plan.lease_s or 0) * 1000)}ms" for port in sorted(plan.held)]


def _set(name: str, elements: Iterable[str], flags: str = "") -> str:
    listed = ", ".join(elements)
    inside = f"    elements = {{ {listed} }}\n" if listed else ""
    return f"  set {name} {{\n    type inet_service\n{flags}{inside}  }}\n"


def _chain(
    hook: str, interface: str, address: str, port: str, peers: Sequence[str], but_for: str = ""
) -> str:
    lines = [
        f"  chain {hook} {{",
        f"    type filter hook {hook} priority filter - 10; policy accept;",
        f'    {interface} "lo" accept',
        *(
            f"    {'ip' if ipaddress.ip_network(peer).version == 4 else 'ip6'} {address} {peer} "
            f"tcp {port} {SMTP_PORT} accept"
            for peer in peers
        ),
        f"    tcp {port} @closed{but_for} reject with tcp reset",
        f"    tcp {port} @held tcp {port} != @leased{but_for} reject with tcp reset",
        "  }",
    ]
    return "\n".join(lines) + "\n"


def shown_in(listing: list[dict[str, Any]]) -> Shown:
    """Of `nft -j list table`: what is refused, if both chains are hooked and reset it."""
    ours = [value for item in listing for value in item.items() if _is_ours(*value)]
    hooks = {chain.get("hook") for kind, chain in ours if kind == "chain"}
    resets = {
        (rule["chain"], _lookups(rule["expr"])) for kind, rule in ours if kind == "rule" and _resets(rule)
    }
    sets = {found["name"]: found.get("elem", []) for kind, found in ours if kind == "set"}
    whole = hooks >= {"input", "output"}
    closed = sets.get("closed", []) if whole and _both_ways(resets, ("@closed", "==")) else []
    leasing = whole and "leased" in sets and _both_ways(resets, ("@held", "=="), ("@leased", "!="))
    held = sets.get("held", []) if leasing else []
    left_s = {found["elem"]["val"]: found["elem"]["expires"] for found in sets.get("leased", [])}
    return Shown(
        frozenset(closed), frozenset(held), min((left_s.get(port, 0) for port in held), default=None)
    )


def _is_ours(kind: str, value: dict[str, Any]) -> bool:
    return kind in ("chain", "rule", "set") and (value["family"], value["table"]) == ("inet", "mailward")


def _resets(rule: dict[str, Any]) -> bool:
    return {"reject": {"type": "tcp reset"}} in rule["expr"]


def _both_ways(resets: set[tuple[Any, Any]], *lookups: tuple[str, str]) -> bool:
    """Whether either chain resets by just these lookups (set, operator) of its own port."""
    ways = (("input", "dport"), ("output", "sport"))
    return all((chain, tuple((field, *each) for each in lookups)) in resets for chain, field in ways)


def _lookups(expressions: list[dict[str, Any]]) -> tuple[tuple[str, str, str], ...]:
    """(field, set, operator) of whatever is looked up in a set."""
    matches = [expression["match"] for expression in expressions if "match" in expression]
    return tuple(
        (str(match["left"]["payload"]["field"]), match["right"], match["op"])
        for match in matches
        if str(match["right"]).startswith("@")
    )
