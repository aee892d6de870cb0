"""What the recorded state wants of an observer: which way each service is to be probed, as clients come or
behind ports that we closed; and whether replication is waited for.

The way changes when an order's answer is recorded, never while the order is out: between the two nobody
knows whether the port is open, and a refusal we caused ourselves would count against the service. What was
ordered closed, and not heard of since, refuses all the same once its lease has run out.
"""

from mailward.model.fencing import FenceOutcome, PortKind
from mailward.model.health import Vantage
from mailward.model.orders import OrderPorts
from mailward.model.state import Kind, State, Step


class Vantages:
    """The ways as of the newest recorded state."""

    def __init__(self) -> None:
        self._behind: dict[str, frozenset[str]] = {}
        self._newest: State | None = None

    def update(self, state: State) -> bool:
        """Take up a newly recorded state; whether any way has changed."""
        if state is self._newest:
            return False
        before, self._newest = dict(self._behind), state
        if state.superseded:  # an old copy does not know which ports are closed
            self._behind = {}
            return bool(before)
        under_way = [o.action.node for o in state.orders if isinstance(o.action, OrderPorts)]
        known = [record.node for record in state.ports]
        for node in [node for node in self._behind if node not in known and node not in under_way]:
            del self._behind[node]
        for record in state.ports:
            if record.node in under_way:
                continue
            closed = [name for name, port in record.ports.items() if port.kind is PortKind.CLOSED]
            refused = record.fence is FenceOutcome.CONFIRMED or record.lapsed is not None
            self._behind[record.node] = frozenset(closed if refused else ())
        return before != self._behind

    @property
    def mail_is_waited_for(self) -> bool:
        """Whether nobody serves until what one node has is at another: each second of it is an outage."""
        operation = self._newest.operation if self._newest is not None else None
        moves = operation is not None and operation.kind in (Kind.FAILOVER, Kind.SWITCHOVER)
        return moves and operation is not None and operation.step in (Step.RESCUE, Step.CATCH_UP)

    def of(self, node: str, service: str) -> Vantage:
        return Vantage.HELPER if service in self._behind.get(node, ()) else Vantage.DIRECT
