"""The iptables backend, for hosts where nftables is absent or does not work.

Two chains of our own in the filter table, jumped to first from INPUT and OUTPUT; replaced by one
`iptables-restore` transaction a family, IPv4 first. A program missing for IPv6 is an error only on a
host that has IPv6: a port closed for one family only is not closed. It knows no leases: what was open
for one is refused, as of a lease that has lapsed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import NamedTuple

from mailward.fencing.node.commands import run
from mailward.fencing.node.firewall import SMTP_PORT, TIMEOUT_S, Plan, Shown

IN, OUT = "MAILWARD-IN", "MAILWARD-OUT"
_JUMPS = (("INPUT", IN), ("OUTPUT", OUT))
_WAIT = ["-w", "2"]  # for the lock another firewall may hold


class Family(NamedTuple):
    version: int
    program: str


def _families() -> tuple[Family, ...]:
    v4, v6 = Family(4, "iptables"), Family(6, "ip6tables")
    return (v4, v6) if os.path.exists("/proc/net/if_inet6") else (v4,)


class Iptables:
    name = "iptables"
    leases = False

    def works(self) -> bool:
        return all(self._listing(family) is not None for family in _families())

    def apply(self, plan: Plan) -> str:
        return "; ".join(filter(None, (self._restore(family, plan) for family in _families())))

    def renew(self, plan: Plan, timeout_s: float) -> str:
        return "iptables knows no leases"

    def remove(self) -> str:
        return "; ".join(filter(None, (self._restore(family, None) for family in _families())))

    def shown(self) -> Shown | None:
        """A port counts only if every family refuses it."""
        listings = [self._listing(family) for family in _families()]
        if any(listing is None for listing in listings):
            return None
        return Shown(frozenset.intersection(*(refused_in(listing or []) for listing in listings)))

    def _restore(self, family: Family, plan: Plan | None) -> str:
        listing = self._listing(family)
        if listing is None:
            return f"{family.program} does not work"
        rules = removal(listing) + (addition(plan, family.version) if plan else [])
        if not rules:
            return ""
        text = "\n".join(["*filter", *rules, "COMMIT", ""])
        ran = run([f"{family.program}-restore", "--noflush", *_WAIT], stdin=text, timeout_s=TIMEOUT_S)
        return "" if ran.code == 0 else f"{family.program}: {ran.complaint}"

    def _listing(self, family: Family) -> list[str] | None:
        ran = run([family.program, *_WAIT, "-S"], timeout_s=TIMEOUT_S)
        return ran.out.splitlines() if ran.code == 0 else None


def removal(listing: list[str]) -> list[str]:
    """The lines that take away whatever of ours `iptables -S` shows."""
    jumps = [
        f"-D {hook} -j {chain}"
        for hook, chain in _JUMPS
        for line in listing
        if line == f"-A {hook} -j {chain}"
    ]
    chains = [chain for _, chain in _JUMPS if f"-N {chain}" in listing]
    return jumps + [f"-F {chain}" for chain in chains] + [f"-X {chain}" for chain in chains]


def addition(plan: Plan, version: int) -> list[str]:
    """The lines that make the plan, ours first in each hook."""
    lines = [f"-N {IN}", f"-N {OUT}", f"-A {IN} -i lo -j RETURN", f"-A {OUT} -o lo -j RETURN"]
    for peer in plan.peers:
        if ipaddress.ip_network(peer).version == version:
            lines.append(f"-A {IN} -s {peer} -p tcp -m tcp --dport {SMTP_PORT} -j RETURN")
            lines.append(f"-A {OUT} -d {peer} -p tcp -m tcp --sport {SMTP_PORT} -j RETURN")
    for port in sorted({*plan.closed, *plan.held}):
        lines.append(f"-A {IN} -p tcp -m tcp --dport {port} -j REJECT --reject-with tcp-reset")
        # A reset must get out: the refusal above is itself a packet that leaves here.
        lines.append(
            f"-A {OUT} -p tcp -m tcp --sport {port} ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset"
        )
    return [*lines, *(f"-I {hook} 1 -j {chain}" for hook, chain in _JUMPS)]


def refused_in(listing: list[str]) -> frozenset[int]:
    """Of `iptables -S`: the ports reset in both chains, if both are jumped to."""
    if any(f"-A {hook} -j {chain}" not in listing for hook, chain in _JUMPS):
        return frozenset()
    return _reset(listing, IN, "dport") & _reset(listing, OUT, "sport")


def _reset(listing: list[str], chain: str, field: str) -> frozenset[int]:
    pattern = re.compile(rf"-A {chain} -p tcp -m tcp --{field} (\d+) .*-j REJECT --reject-with tcp-reset")
    return frozenset(int(match[1]) for match in map(pattern.fullmatch, listing) if match)
