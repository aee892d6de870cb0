"""End the sessions that are established on closed ports, silent ones as well.

The rules end a session at its next packet; an idle IMAP session may not send one for half an hour.
`ss -K` asks the kernel to abort the sockets, which sends the client a reset at once. A kernel without
CONFIG_INET_DIAG_DESTROY, or a host without `ss`, ends them by the rules only: that is no failure.
"""

from __future__ import annotations

from mailward.fencing.node.commands import run
from mailward.fencing.node.firewall import SMTP_PORT, Plan

_TIMEOUT_S = 2.0


def end_sessions(plan: Plan) -> None:
    if plan.refused:
        run(["ss", "-K", "-H", "-n", "-t", "state", "connected", *expression(plan)], timeout_s=_TIMEOUT_S)


def expression(plan: Plan) -> list[str]:
    """The filter of `ss`: our closed ports, without loopback, and without peers on port 25."""
    alternatives = []
    for port in sorted(plan.refused):
        spared = ["127.0.0.0/8", "::1/128", *(plan.peers if port == SMTP_PORT else ())]
        others = " and ".join(f"not dst {_written(network)}" for network in spared)
        alternatives.append(f"( sport = :{port} and {others} )")
    return ["( " + " or ".join(alternatives) + " )"]


def _written(network: str) -> str:
    return f"[{network}]" if ":" in network else network
