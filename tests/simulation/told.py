"""The words in which the search tells what happened."""

from collections.abc import Callable

from tests.simulation.canonical import NODES, SERVICE, TARGET
from tests.simulation.worlds import World

from mailward.model.fencing import PortKind
from mailward.model.orders import Action, ClaimHelper, ClaimTarget, OrderPorts, Publish, Verify
from mailward.model.state import State


def of_world(state: State, world: World) -> str:
    zone = "+".join(NODES[node] for node in world.zone) or "nobody"
    closed = [name for node, name in enumerate(NODES) if world.closed[node]]
    ports = f"{' and '.join(closed)} closed" if closed else "all open"
    return f"{of_state(state)}; the zone names {zone}, {ports}"


def of_action(named_in: Callable[[Publish | Verify], tuple[int, ...]], action: Action) -> str:
    if isinstance(action, Publish):
        return f"'publish {'+'.join(NODES[n] for n in named_in(action))}'"
    if isinstance(action, OrderPorts):
        kind = action.ports[SERVICE].kind
        return f"'{'close' if kind is PortKind.CLOSED else 'open'} {action.node}'"
    where = action.target if isinstance(action, ClaimTarget | Verify) else action.node
    return f"'{action.kind} {where}'" if not isinstance(action, ClaimHelper) else f"'claim {where}'"


def of_state(state: State) -> str:
    phases = ", ".join(f"{r.node} {r.phase}" for r in state.phases)
    running = state.operation
    return f"{phases}{f'; {running.kind} of {running.node or TARGET} at {running.step}' if running else ''}"
