"""The words in which the search tells what happened."""

from typing import TYPE_CHECKING

from tests.simulation.canonical import NODES, SERVICE, TARGET
from tests.simulation.worlds import Flight, Step, World

from mailward.model.fencing import PortKind
from mailward.model.orders import Action, ClaimHelper, ClaimTarget, OrderPorts, Publish, Verify
from mailward.model.state import State

if TYPE_CHECKING:
    from tests.simulation.deciding import Controller


def of_flight(controller: "Controller", flight: Flight) -> str:
    late = "" if flight.slot >= 0 else "an old order, "
    return f"{late}{_of_action(controller, controller.actions[flight.action])}"


def of_step(controller: "Controller", step: Step) -> str:
    sends = ", ".join(_of_action(controller, controller.actions[number]) for number, _ in step.sent)
    return f"{_of_state(controller.states[step.state])}{f'; sends {sends}' if sends else ''}"


def of_world(controller: "Controller", world: World) -> str:
    zone = "+".join(NODES[node] for node in world.zone) or "nobody"
    closed = [name for node, name in enumerate(NODES) if world.closed[node]]
    ports = f"{' and '.join(closed)} closed" if closed else "all open"
    return f"{_of_state(controller.states[world.state])}; the zone names {zone}, {ports}"


def _of_action(controller: "Controller", action: Action) -> str:
    if isinstance(action, Publish):
        return f"'publish {'+'.join(NODES[n] for n in controller.named_in(action))}'"
    if isinstance(action, OrderPorts):
        kind = action.ports[SERVICE].kind
        return f"'{'close' if kind is PortKind.CLOSED else 'open'} {action.node}'"
    where = action.target if isinstance(action, ClaimTarget | Verify) else action.node
    return f"'{action.kind} {where}'" if not isinstance(action, ClaimHelper) else f"'claim {where}'"


def _of_state(state: State) -> str:
    phases = ", ".join(f"{r.node} {r.phase}" for r in state.phases)
    running = state.operation
    return f"{phases}{f'; {running.kind} of {running.node or TARGET} at {running.step}' if running else ''}"
