"""What "closed" means in the kernel, and which of its two firewalls is told.

Closed refuses a client's packet with a TCP reset, whether it opens a connection or belongs to one:
no connection tracking is asked, so nothing already established goes on. The other direction is reset
as well, so that a server's next packet ends its session; and sockets that are silent are ended at
once (`sessions`). Loopback always passes, and peers pass on port 25, so that queues drain between
nodes. Every other port, replication's among them, is named in no rule.

Not here: packets forwarded through this host to containers or to virtual machines.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mailward.fencing.node.refusal import FIREWALL, Refused

SMTP_PORT = 25
TIMEOUT_S = 3.0


class Plan(NamedTuple):
    """The ports to refuse, and the networks excepted on port 25."""

    closed: tuple[int, ...]
    peers: tuple[str, ...]


class Firewall(Protocol):
    name: str

    def works(self) -> bool:
        """Whether this kernel and these programs can be used."""
        ...

    def apply(self, plan: Plan) -> str:
        """Make it so as one transaction, whatever was there of ours; '' or why it failed."""
        ...

    def refused(self) -> frozenset[int] | None:
        """The ports which it now refuses in both directions; None if that cannot be told."""
        ...

    def remove(self) -> str:
        """Leave no trace; '' or why it failed. Nothing there is no failure."""
        ...


def choose() -> Firewall:
    """nftables where it works, else iptables; `Refused` where neither does."""
    from mailward.fencing.node.nftables import Nftables

    nftables = Nftables()
    if nftables.works():
        return nftables
    from mailward.fencing.node.iptables import Iptables

    iptables = Iptables()
    if iptables.works():
        return iptables
    raise Refused(FIREWALL, "neither nft nor iptables works here: are they installed, and are you root?")


def every() -> tuple[Firewall, ...]:
    """Both, where their programs work: to leave nothing behind."""
    from mailward.fencing.node.iptables import Iptables
    from mailward.fencing.node.nftables import Nftables

    return tuple(backend for backend in (Nftables(), Iptables()) if backend.works())


def remove_from_others() -> None:
    """Take our rules out of the backend not chosen: what it closed before the other one was installed.
    Not done for an order in haste; at boot and by hand it is."""
    chosen = choose().name
    for backend in every():
        if backend.name != chosen:
            backend.remove()
