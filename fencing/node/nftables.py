"""The nftables backend: one table, `inet mailward`, replaced as a whole in one transaction.

Our chains come just before the usual filter priority, so that another firewall's DROP cannot hide
the refusal; an ACCEPT of another table cannot undo it. `flush ruleset`, as a reload of Debian's
nftables.service does it, removes our table too: `status` then says that the map is not applied.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from mailward.fencing.node import strictjson
from mailward.fencing.node.commands import run
from mailward.fencing.node.firewall import SMTP_PORT, TIMEOUT_S, Plan

TABLE = "inet mailward"
_REMOVE = f"table {TABLE}\ndelete table {TABLE}\n"  # declared first, so that deleting cannot fail


class Nftables:
    name = "nftables"

    def works(self) -> bool:
        return run(["nft", "list", "tables"], timeout_s=TIMEOUT_S).code == 0

    def apply(self, plan: Plan) -> str:
        return _load(ruleset(plan))

    def remove(self) -> str:
        return _load(_REMOVE)

    def refused(self) -> frozenset[int] | None:
        ran = run(["nft", "-j", "list", "ruleset", "inet"], timeout_s=TIMEOUT_S)
        if ran.code != 0:
            return None
        try:
            return refused_in(strictjson.loads(ran.out)["nftables"])
        except (ValueError, KeyError, TypeError):
            return None


def _load(rules: str) -> str:
    ran = run(["nft", "-f", "-"], stdin=rules, timeout_s=TIMEOUT_S)
    return "" if ran.code == 0 else f"nft: {ran.complaint}"


def ruleset(plan: Plan) -> str:
    """The whole table as text. nft 1.0.6 wants each statement and brace on its own line."""
    closed = f"    elements = {{ {', '.join(map(str, sorted(plan.closed)))} }}\n" if plan.closed else ""
    return (
        _REMOVE
        + f"table {TABLE} {{\n"
        + "  set closed {\n"
        + "    type inet_service\n"
        + closed
        + "  }\n"
        + _chain("input", "iif", "saddr", "dport", plan.peers, "tcp dport @closed")
        # A reset must get out: the refusal of `input` is itself a packet that leaves here.
        + _chain("output", "oif", "daddr", "sport", plan.peers, "tcp sport @closed tcp flags & rst == 0")
        + "}\n"
    )


def _chain(hook: str, interface: str, address: str, port: str, peers: Sequence[str], match: str) -> str:
    lines = [
        f"  chain {hook} {{",
        f"    type filter hook {hook} priority filter - 10; policy accept;",
        f'    {interface} "lo" accept',
        *(
            f"    {'ip' if ipaddress.ip_network(peer).version == 4 else 'ip6'} {address} {peer} "
            f"tcp {port} {SMTP_PORT} accept"
            for peer in peers
        ),
        f"    {match} reject with tcp reset",
        "  }",
    ]
    return "\n".join(lines) + "\n"


def refused_in(listing: list[dict[str, Any]]) -> frozenset[int]:
    """Of `nft -j list ruleset`: the closed ports, if both chains are hooked and reset them."""
    ours = [value for item in listing for value in item.items() if _is_ours(*value)]
    hooks = {chain.get("hook") for kind, chain in ours if kind == "chain"}
    resets = {
        (rule["chain"], _matched_field(rule["expr"]))
        for kind, rule in ours
        if kind == "rule" and _resets(rule)
    }
    if not hooks >= {"input", "output"} or not resets >= {("input", "dport"), ("output", "sport")}:
        return frozenset()
    elements = [port for kind, found in ours if kind == "set" for port in found.get("elem", [])]
    return frozenset(port for port in elements if isinstance(port, int))


def _is_ours(kind: str, value: dict[str, Any]) -> bool:
    return kind in ("chain", "rule", "set") and (value["family"], value["table"]) == ("inet", "mailward")


def _resets(rule: dict[str, Any]) -> bool:
    return {"reject": {"type": "tcp reset"}} in rule["expr"]


def _matched_field(expressions: list[dict[str, Any]]) -> str | None:
    """ "dport" or "sport", whichever is looked up in the set `closed`."""
    for expression in expressions:
        match = expression.get("match")
        if match and match.get("right") == "@closed":
            return str(match["left"]["payload"]["field"])
    return None
