"""What the search holds to be wrong: decisions never to be made, worlds never to be reached, and worlds in
which a cluster must not come to rest."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.canonical import ENDPOINT, LONG_S, NODES, NOW, SERVICE, STORE
from tests.simulation.observed import GONE, UP
from tests.simulation.worlds import DNS, Step, World

from mailward.controller.core.phases import EFFECTS, TRANSITIONS
from mailward.model.decision import Decision
from mailward.model.fencing import PortKind
from mailward.model.orders import OrderPorts, Publish
from mailward.model.snapshot import Snapshot
from mailward.model.state import Cause, Kind, Phase, PhaseRecord, State
from mailward.model.state import Step as CoreStep
from mailward.model.token import Token

if TYPE_CHECKING:
    from tests.simulation.deciding import Controller


def never_decided(world: World, snapshot: Snapshot, decision: Decision) -> Iterator[str]:
    """What is wrong with a decision, whatever is true outside."""
    yield from decision.broken
    if decision.fatal:
        yield f"fatal: {decision.fatal}"
    yield from _tokens(world, snapshot, decision)
    for node, name in enumerate(NODES):
        old, new = (s.phase_of(name, ENDPOINT) for s in (snapshot.state, decision.state))
        if old is not None and new is not None and old.phase is not new.phase:
            yield from _transition(world, node, old, new, decision.state)
            yield from _too_soon(world, node, old, new, snapshot.state, decision.state)
    yield from _taken_away(world, decision)


def _tokens(world: World, snapshot: Snapshot, decision: Decision) -> Iterator[str]:
    last = Token(STORE, snapshot.versions.epoch, snapshot.state.seq if not world.fresh else 0)
    for order in decision.send:
        if not order.token > last:
            yield f"I1: {order.token} is not above {last}"
        last = order.token


def _transition(world: World, node: int, old: PhaseRecord, new: PhaseRecord, after: State) -> Iterator[str]:
    name = NODES[node]
    if new.phase not in TRANSITIONS[old.phase]:
        yield f"I12: {name} from {old.phase} to {new.phase}"
    if world.word[node] and old.phase is Phase.OUT and not _asked_back(after, name):
        yield f"{name} was taken out by an operator and comes back by itself"
    if old.phase in (Phase.IN_SERVICE, Phase.DRAINING) and not EFFECTS[new.phase].published:
        other = after.phase_of(NODES[1 - node], ENDPOINT)
        if other is None or other.phase is not Phase.IN_SERVICE:
            yield f"I8: {name} is withdrawn though nobody else is in service"
        elif world.seen[1 - node][0] != UP:
            yield f"I8: {name} is withdrawn though the other is seen to be {world.seen[1 - node][0]}"


def _too_soon(
    world: World, node: int, old: PhaseRecord, new: PhaseRecord, before: State, after: State
) -> Iterator[str]:
    """A restart is not a crash, and who comes back is well, stays well, and answers as clients ask."""
    name, (view, settled) = NODES[node], world.seen[node]
    by_itself = not _asked_back(after, name)
    by_automation = new.phase is Phase.OUT and new.cause is not Cause.OPERATOR
    if old.phase is Phase.IN_SERVICE and by_automation and (view.startswith(UP) or not settled):
        yield f"grace: {name} is withdrawn though it has not failed for long"
    if old.phase is Phase.OUT and new.phase is Phase.REJOINING and by_itself:
        if not view.startswith(UP) or not settled:
            yield f"I12: {name} comes back though it has not been well for long"
        held = [f for f in before.flaps if (f.node, f.cause) == (name, old.cause) and f.count > 1]
        if any(f.last.age_s(NOW) < LONG_S for f in held) and world.seen[1 - node][0] == UP:
            yield f"I13: {name} comes back at once though it has gone out before"
    if old.phase is Phase.PROMOTING and new.phase is Phase.IN_SERVICE and view != UP:
        yield f"I12: {name} is let in though it is seen to be {view}"


def _asked_back(state: State, node: str) -> bool:
    operation = state.operation
    return operation is not None and operation.node == node and operation.request is not None


def _taken_away(world: World, decision: Decision) -> Iterator[str]:
    """A node that is seen to serve is neither closed nor left out of DNS unless the other one, recorded to
    serve, is seen to serve as well."""
    for node, name in enumerate(NODES):
        other = decision.state.phase_of(NODES[1 - node], ENDPOINT)
        serves = other is not None and other.phase is Phase.IN_SERVICE
        if world.seen[node][0] != UP or (serves and world.seen[1 - node][0] == UP):
            continue
        for action in (order.action for order in decision.send):
            if isinstance(action, OrderPorts) and action.node == name:
                if action.ports[SERVICE].kind is PortKind.CLOSED:
                    yield f"I8: {name} is closed though the other is seen to be {world.seen[1 - node][0]}"
            elif isinstance(action, Publish):
                values = [value for rrset in action.rrsets for value in rrset.values]
                if f"192.0.2.{10 + node}" not in values:
                    yield f"I8: {name} is not named though the other is {world.seen[1 - node][0]}"


def never_true(controller: "Controller", world: World, step: Step) -> Iterator[str]:
    """What is wrong with a world, or with what is decided in it."""
    if not world.zone:
        yield "I2: the endpoint has no address"
    elif all(world.closed[node] for node in world.zone) and not world.dns_gone:
        yield "I2: the zone names only nodes whose ports we have closed"
    if all(world.closed):
        yield "I8: both nodes' ports are closed by us"
    yield from step.wrong
    yield from _closed_while_named(controller, world, step)
    if step.state == world.state:
        return
    yield from _closed_too_soon(controller, world, step)
    for node, name in enumerate(NODES):
        before, after = (controller.states[s].phase_of(name, ENDPOINT) for s in (world.state, step.state))
        if before is None or after is None or before.phase is not Phase.REJOINING:
            continue
        tried = world.closed[node] or world.last_resort
        if after.phase is Phase.PROMOTING and not tried:
            yield f"I12: {name} was not tried behind closed ports"


def _closed_too_soon(controller: "Controller", world: World, step: Step) -> Iterator[str]:
    """It is decided, not only repeated, to close who is drained, while it serves and its address is held."""
    before, after = (controller.states[state].operation for state in (world.state, step.state))
    at_fence = after is not None and (after.kind, after.step) == (Kind.DRAIN, CoreStep.FENCE)
    if after is None or not at_fence or (before is not None and before.step is CoreStep.FENCE):
        return
    if world.ttl_runs and world.seen[NODES.index(after.node)][0] == UP:
        yield f"{after.node} is closed while clients may still hold its address"


def _closed_while_named(controller: "Controller", world: World, step: Step) -> Iterator[str]:
    """Nobody who is seen to serve is closed while the zone, now or after what is on its way, names nobody
    else; not even when the name server takes nothing."""
    for action in (controller.actions[number] for number, _ in step.sent):
        if not isinstance(action, OrderPorts) or action.ports[SERVICE].kind is not PortKind.CLOSED:
            continue
        node = NODES.index(action.node)
        coming = [controller.actions[flight.action] for flight in world.flights[DNS] if not flight.void]
        zones = [world.zone, *(controller.named_in(a) for a in coming if isinstance(a, Publish))]
        if world.seen[node][0] == UP and (node,) in zones:
            yield f"I2: {action.node} serves and is closed while the zone may name nobody else"


def settled(controller: "Controller", world: World) -> bool:
    """Nothing is on its way or waited for, and clients are sent to everybody who serves: all who are
    well, but whom an operator took out; and the last one, even if it is not. Whom an operator took out
    is closed and not named, unless nobody else is well: then nothing is taken away until somebody is."""
    state = controller.states[world.state]
    if world.request or world.outcomes or state.operation or state.orders:
        return False
    if world.flights[DNS] or any(world.flights[node] and world.truth[node] != GONE for node in (0, 1)):
        return False
    in_service = [controller.serves(world.state, node) for node in (0, 1)]
    left_alone = []
    for node, name in enumerate(NODES):
        record = state.phase_of(name, ENDPOINT)
        by_word = record is not None and record.cause is Cause.OPERATOR
        well, other_well = world.truth[node] == UP, world.truth[1 - node] == UP
        if in_service[node]:
            if world.closed[node] or (not well and other_well and in_service[1 - node]):
                return False
        elif well and by_word and not other_well:
            left_alone.append(node)
        elif well and not (by_word and world.closed[node]):
            return False
    return [node for node in world.zone if node not in left_alone] == [n for n in (0, 1) if in_service[n]]
