"""What "closed" means in the kernel, and which of its two firewalls is told.

Closed refuses a client's packet with a TCP reset, whether it opens a connection or belongs to one:
no connection tracking is asked, so nothing already established goes on. The other direction is reset
as well, so that a server's next packet ends its session; and sockets that are silent are ended at
once (`sessions`). Loopback always passes, and peers pass on port 25, so that queues drain between
nodes. Every other port, replication's among them, is named in no rule.

A port may be open for a lease only: the kernel itself refuses it when the lease is not renewed in time,
whatever has become of us. Only nftables can do that.

Not here: packets forwarded through this host to containers or to virtual machines.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mailward.fencing.node.refusal import FIREWALL, Refused

SMTP_PORT = 25
TIMEOUT_S = 3.0


class Plan(NamedTuple):
    """The ports to refuse, and the networks excepted on port 25. `held` are the ports that are open for the
    next `lease_s` seconds, and refused from then on; without `lease_s` from the beginning."""

    closed: tuple[int, ...]
    peers: tuple[str, ...]
    held: tuple[int, ...] = ()
    lease_s: float | None = None

    @property
    def refused(self) -> tuple[int, ...]:
        """What is refused as soon as the plan is applied."""
        return self.closed if self.lease_s is not None else tuple(sorted({*self.closed, *self.held}))


class Shown(NamedTuple):
    """What the kernel shows, in both directions: the ports it refuses, those that it refuses without a
    lease, and the whole seconds these have left: 0 in the last one too, None where none are held."""

    closed: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    left_s: int | None = None


class Firewall(Protocol):
    name: str
    leases: bool
    """Whether it can let a port close by itself."""

    def works(self) -> bool:
        """Whether this kernel and these programs can be used."""
        ...

    def apply(self, plan: Plan) -> str:
        """Make it so as one transaction, whatever was there of ours; '' or why it failed."""
        ...

    def renew(self, plan: Plan, timeout_s: float) -> str:
        """Let the lease of what is held begin anew, all of it or nothing, within `timeout_s` or never; '' or
        why it failed. One that has lapsed cannot be renewed, as the kernel judges it in the same
        transaction."""
        ...

    def shown(self) -> Shown | None:
        """What it does now; None if that cannot be told."""
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
