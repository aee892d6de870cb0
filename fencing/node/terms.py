"""What an order wants beside its map."""

from __future__ import annotations

from typing import NamedTuple

LEASES_S = (1.0, 3600.0)
PROMOTE, DEMOTE = "promote", "demote"


class Terms(NamedTuple):
    """`lease_s`: for how long what is open stays so without a renewal; None for as long as nothing else is
    ordered. `stop`: the writers are stopped once the ports are closed, and stay so until an order without.
    `hook`: `PROMOTE` before they open, or `DEMOTE` after they have closed."""

    lease_s: float | None = None
    stop: bool = False
    hook: str | None = None


PLAIN = Terms()
