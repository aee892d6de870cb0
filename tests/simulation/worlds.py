"""What is true at one instant of the search, small enough to be looked up.

Recorded states and orders stand in a `World` as numbers, since thousands of worlds share each. A token's
place in the order of all tokens is kept as that of its order among those on their way to the same
receiver: whoever obeys one makes those before it void.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.simulation.observed import FAILED, GONE, Seen

from mailward.model.orders import Result
from mailward.model.state import RequestKind

DNS = 2
"""The third receiver; the nodes are 0 and 1."""


class Flight(NamedTuple):
    """An order on its way. `slot` is its place among the recorded orders, -1 when nobody waits for it."""

    action: int
    slot: int
    void: bool


class Budget(NamedTuple):
    """What may still go wrong, and be asked for."""

    faults: int = 0
    losses: int = 0
    kills: int = 0
    requests: int = 0


class World(NamedTuple):
    """`seen` is each node's verdict and whether it is settled. `fresh` is a controller that has not recorded
    anything yet, `last_resort` a readmission begun while nobody else was seen to serve, `word` whether an
    operator took a node out. `dns_gone`: for a long time the name server has taken no update that names a
    node in service. `ttl_runs`: during a drain the zone has changed, and no time has passed since."""

    state: int
    fresh: bool
    truth: tuple[str, str]
    seen: Seen
    closed: tuple[bool, bool]
    zone: tuple[int, ...]
    flights: tuple[tuple[Flight, ...], ...]
    outcomes: tuple[tuple[int, Result], ...]
    request: tuple[RequestKind, int, bool] | None
    word: tuple[bool, ...]
    last_resort: bool
    dns_gone: bool
    ttl_runs: bool
    budget: Budget


class Step(NamedTuple):
    """A decision as the worlds need it. `slots` says where the orders that were out have gone."""

    state: int
    slots: tuple[int, ...]
    sent: tuple[tuple[int, int], ...]  # (action, slot)
    answered: bool
    accepted: bool
    wrong: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Rules:
    """How the world behaves; tests take one away and see the search object."""

    receivers_compare_tokens: bool = True
    recorded_before_sent: bool = True
    faults: tuple[str, ...] = (FAILED, GONE)
    """What may become of a node."""


def put(values: Any, at: int, value: object) -> Any:
    return (*values[:at], value, *values[at + 1 :])
