"""What is searched: two mail nodes, one DNS target, and the real `decide` between them.

The network is an adversary: what was recorded and sent may arrive late, also after its sender's death, in
any order, twice or never. A message to a node that is out of reach fails. A leader that was not killed but
only stood still, and on waking sends what it had recorded, is the same as one whose orders were on their
way all the time: whatever it can still do is among what is late here, since it records nothing any more.
That a new order's token is above every earlier one is checked where it is decided. Left out: reading
(verification and kicks are answered at once, by what is then true), lag, more than one endpoint, doubtful
observers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation import judged, told
from tests.simulation.canonical import LONG_S, NODES, SERVICE, SHORT_S, STORE, canonical
from tests.simulation.deciding import Controller
from tests.simulation.observed import FAILED, GONE, UP
from tests.simulation.worlds import DNS, Budget, Flight, Rules, Step, World, put

from mailward.model.fencing import PortKind
from mailward.model.orders import ClaimTarget, KickReplication, OrderPorts, Publish, Result, Verify
from mailward.model.state import Kind, Phase, RequestKind, State
from mailward.model.state import Step as CoreStep

FAULTS = {FAILED: "service crashes", GONE: "host is out of reach"}
_OF_NO_NODE = (RequestKind.CANCEL, RequestKind.PROVEN)
"""What is asked for there changes nothing of who serves."""
SHORT, LONG = "some seconds pass", "a long time passes"
Move = tuple[str, World]


@dataclass
class Model:
    rules: Rules = field(default_factory=Rules)
    controller: Controller = field(default_factory=Controller)

    def start(self, budget: Budget = Budget()) -> World:
        """An installation on its first day."""
        return World(
            state=self.controller.number(canonical(State(STORE, 1))), fresh=True, truth=(UP, UP),
            seen=((UP, True), (UP, True)), closed=(False, False), zone=(0, 1), flights=((), (), ()),
            outcomes=(), request=None, word=(False, False), last_resort=False, dns_gone=False,
            ttl_runs=False, budget=budget,
        )  # fmt: skip

    # moves

    def moves(self, world: World) -> Iterator[Move]:
        """Everything that may happen next, in words."""
        yield from self._network(world)
        yield from self._nodes(world)
        step = self.step(world)
        after = self._recorded(world, step)
        yield from self._controller(world, step, after)
        yield from self._people(world)
        if after == world:
            yield from self._time(world)

    def _controller(self, world: World, step: Step, after: World) -> Iterator[Move]:
        if after != world:
            yield f"the controller decides: {step.words}", self._sent(after, step)
        kills = world.budget.kills
        if kills:
            less = world.budget._replace(kills=kills - 1)
            yield "the controller is killed and another starts", self._reborn(world, less)
            if after != world and step.sent:
                lost = self._reborn(after, less)
                yield f"killed after recording, before sending: {step.words}", lost
                if not self.rules.recorded_before_sent:
                    hasty = self._reborn(self._sent(world, step), less)
                    yield (
                        f"killed after sending, before recording: {step.words}",
                        hasty,
                    )

    def _reborn(self, world: World, budget: Budget) -> World:
        flights = tuple(tuple(f._replace(slot=-1) for f in way) for way in world.flights)
        return self._tidy(world._replace(fresh=True, flights=flights, outcomes=(), budget=budget))

    def _network(self, world: World) -> Iterator[Move]:
        losses = world.budget.losses
        less = world.budget._replace(losses=losses - 1)
        for receiver in (0, 1, DNS):
            for at, flight in enumerate(world.flights[receiver]):
                order = f"{self._late(flight)}{self.controller.words[flight.action]}"
                if receiver != DNS and world.truth[receiver] == GONE:
                    if flight.slot >= 0:
                        gone = self._without(world, receiver, at, Result.UNKNOWN)
                        yield f"{order} finds nobody", gone
                    continue
                obeyed, result = self._arrive(world, receiver, at)
                said = "is obeyed" if result is Result.DONE else "comes too late and is refused"
                yield f"{order} arrives and {said}", self._without(obeyed, receiver, at, result)
                if losses and not flight.void:
                    lost = self._without(world, receiver, at, None)
                    yield f"{order} is lost", lost._replace(budget=less)
                    if flight.slot >= 0:
                        deaf = self._without(obeyed, receiver, at, None)._replace(budget=less)
                        yield f"{order} arrives and {said}, its answer is lost", deaf

    @staticmethod
    def _late(flight: Flight) -> str:
        return "" if flight.slot >= 0 else "an old order, "

    def _nodes(self, world: World) -> Iterator[Move]:
        faults = world.budget.faults
        for node, name in enumerate(NODES):
            truth = world.truth[node]
            for other in self.rules.faults if faults and truth == UP else ():
                budget = world.budget._replace(faults=faults - 1)
                after = world._replace(truth=put(world.truth, node, other), budget=budget)
                yield f"{name}: its {FAULTS[other]}", after
            if truth != UP:
                yield f"{name} is well again", world._replace(truth=put(world.truth, node, UP))
            view = self.view(world, node)
            if view != world.seen[node][0]:
                seen = put(world.seen, node, (view, False))
                yield f"{name} is seen to be {view}", world._replace(seen=seen)

    def _people(self, world: World) -> Iterator[Move]:
        if world.budget.requests and world.request is None:
            budget = world.budget._replace(requests=world.budget.requests - 1)
            for kind in (each for each in RequestKind if each not in _OF_NO_NODE):
                for node, name in enumerate(NODES):
                    yield (
                        f"an operator asks: {kind} {name}",
                        world._replace(request=(kind, node, False), budget=budget),
                    )

    def _time(self, world: World) -> Iterator[Move]:
        """Time passes while the controller has nothing to do; observers do not lag for long."""
        for seconds, words in ((SHORT_S, SHORT), (LONG_S, LONG)):
            lags = any(self.view(world, n) != world.seen[n][0] for n in (0, 1))
            if seconds == LONG_S and lags:
                continue
            after = self.pass_time(world, seconds)
            if any(flight.slot >= 0 for way in world.flights for flight in way):
                if not world.budget.losses:
                    continue
                after = after._replace(budget=world.budget._replace(losses=world.budget.losses - 1))
            if after != world:
                yield words, after

    def pass_time(self, world: World, seconds: float) -> World:
        request = world.request
        if request is not None and seconds == LONG_S:
            request = (request[0], request[1], True)
        operation = self.controller.states[world.state].operation
        publishing = operation is not None and operation.step in (CoreStep.PUBLISH, CoreStep.VERIFY)
        return world._replace(
            state=self.controller.later(world.state, seconds),
            request=request,
            seen=((world.seen[0][0], True), (world.seen[1][0], True)),
            dns_gone=world.dns_gone or (publishing and seconds == LONG_S),
            ttl_runs=False,
        )

    # what an order does

    def _arrive(self, world: World, receiver: int, at: int) -> tuple[World, Result]:
        """The receiver's rule: obey what is above everything obeyed, and remember that."""
        flight = world.flights[receiver][at]
        if flight.void and self.rules.receivers_compare_tokens:
            return world, Result.STALE
        action = self.controller.actions[flight.action]
        way = tuple(f._replace(void=True) if i <= at else f for i, f in enumerate(world.flights[receiver]))
        world = world._replace(flights=put(world.flights, receiver, way))
        if isinstance(action, OrderPorts):
            closed = action.ports[SERVICE].kind is PortKind.CLOSED
            world = world._replace(closed=put(world.closed, receiver, closed))
        if isinstance(action, Publish):
            zone = self.controller.named_in(action)
            serve = any(self.controller.serves(world.state, n) and not world.closed[n] for n in zone)
            drains = self._drains(world.state) and zone != world.zone
            world = world._replace(
                zone=zone, dns_gone=world.dns_gone and not serve, ttl_runs=world.ttl_runs or drains
            )
        return world, Result.DONE

    def _without(self, world: World, receiver: int, at: int, result: Result | None) -> World:
        """The order has left the network, with the answer its sender gets, if any."""
        way = world.flights[receiver]
        flights = put(world.flights, receiver, (*way[:at], *way[at + 1 :]))
        outcomes = world.outcomes
        if result is not None and way[at].slot >= 0:
            outcomes = tuple(sorted((*outcomes, (way[at].slot, result))))
        return self._tidy(world._replace(flights=flights, outcomes=outcomes))

    def _tidy(self, world: World) -> World:
        """An order that is void and that nobody waits for might as well not be there."""
        if not self.rules.receivers_compare_tokens:
            return world
        flights = tuple(tuple(f for f in way if f.slot >= 0 or not f.void) for way in world.flights)
        return world._replace(flights=flights)

    # what a decision does

    def _recorded(self, world: World, step: Step) -> World:
        """The decision is in the store, and nothing has left yet."""
        if step.wrong:
            return world
        flights = tuple(
            tuple(f._replace(slot=step.slots[f.slot]) if f.slot >= 0 else f for f in way)
            for way in world.flights
        )
        word, request = world.word, world.request
        if step.answered and request is not None:
            if step.accepted and request[0] is not RequestKind.READMIT:
                word = put(word, request[1], True)
            request = None
        word = tuple(out and not self.controller.serves(step.state, node) for node, out in enumerate(word))
        return self._tidy(
            world._replace(
                state=step.state,
                fresh=False,
                flights=flights,
                outcomes=(),
                request=request,
                word=word,
                last_resort=self._last_resort(world, step),
                ttl_runs=world.ttl_runs and self._drains(step.state),
            )
        )

    def _last_resort(self, world: World, step: Step) -> bool:
        """Whether a node is on its way back whose way began while the other was seen not to serve."""
        before, after = (self.controller.phases[state] for state in (world.state, step.state))
        for node in (0, 1):
            if after[node] is Phase.REJOINING:
                began = before[node] is not Phase.REJOINING
                return world.seen[1 - node][0] != UP if began else world.last_resort
        return False

    def _drains(self, state: int) -> bool:
        operation = self.controller.states[state].operation
        return operation is not None and operation.kind is Kind.DRAIN

    def _sent(self, world: World, step: Step) -> World:
        flights, outcomes = list(world.flights), list(world.outcomes)
        for number, slot in step.sent:
            action = self.controller.actions[number]
            if isinstance(action, Verify | KickReplication):
                done = isinstance(action, KickReplication) or self.controller.named_in(action) == world.zone
                outcomes.append((slot, Result.DONE if done else Result.FAILED))
            else:
                receiver = DNS if isinstance(action, ClaimTarget | Publish) else NODES.index(action.node)
                flights[receiver] = (*flights[receiver], Flight(number, slot, False))
        heard = tuple(sorted(o for o in outcomes if o[0] >= 0))
        return world._replace(flights=tuple(flights), outcomes=heard)

    # judging

    def wrong(self, world: World) -> list[str]:
        """What must never be true."""
        return list(judged.never_true(self.controller, world, self.step(world)))

    def settled(self, world: World) -> bool:
        return judged.settled(self.controller, world)

    def told(self, world: World) -> str:
        return told.of_world(self.controller.states[world.state], world)

    def step(self, world: World) -> Step:
        return self.controller.step(world)

    def view(self, world: World, node: int) -> str:
        """What an observer would say of a node now: `up` or `failed` as clients see it, or behind ports
        it knows to be closed, or `gone`."""
        truth = world.truth[node]
        if truth == GONE:
            return GONE
        if self.controller.known_closed(world.state)[node]:
            return f"{truth} behind closed ports"
        return FAILED if world.closed[node] else truth
