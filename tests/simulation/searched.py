"""What is searched: two mail nodes, one DNS target, and the real `decide` between them.

A `World` is everything that is true at one instant, small enough to be looked up. Recorded states and
orders stand in it as numbers, since thousands of worlds share each. A token's place in the order of all
tokens is kept as that of its order among those on their way to the same receiver: whoever obeys one makes
those before it void. That a new order's token is above every earlier one is checked where it is decided.

The network is an adversary: what was recorded and sent may arrive late, also after its sender's death, in
any order, twice or never. A message to a node that is out of reach fails. Left out: reading (verification
and kicks are answered at once, by what is then true), lag, more than one endpoint, doubtful observers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.simulation.canonical import (
    ENDPOINT,
    LONG_S,
    NODES,
    NOW,
    SERVICE,
    SHORT_S,
    STORE,
    TARGET,
    ago,
    canonical,
    of_action,
    policy,
)  # fmt: skip
from tests.simulation.observed import FAILED, GONE, UP, Seen, report

from mailward.controller.core import decide as core
from mailward.controller.core.phases import EFFECTS, TRANSITIONS
from mailward.model.decision import Decision
from mailward.model.fencing import FenceOutcome, PortKind, Scope
from mailward.model.orders import (
    Action,
    ClaimHelper,
    ClaimTarget,
    KickReplication,
    OrderPorts,
    Outcome,
    Publish,
    Result,
    Verify,
)  # fmt: skip
from mailward.model.snapshot import Snapshot, Standing, Versions
from mailward.model.state import Cause, Phase, Request, RequestKind, State
from mailward.model.token import Token

DNS = 2
"""The third receiver; the nodes are 0 and 1."""
SHORT, LONG = "some seconds pass", "a long time passes"


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
    """`seen` is each node's verdict and whether it is settled; `word` whether an operator took it out."""

    state: int
    fresh: bool  # the controller is a new one that has not recorded anything yet
    truth: tuple[str, str]
    seen: Seen
    closed: tuple[bool, bool]
    zone: tuple[int, ...]
    flights: tuple[tuple[Flight, ...], ...]
    outcomes: tuple[tuple[int, Result], ...]
    request: tuple[RequestKind, int, bool] | None
    word: tuple[bool, ...]
    budget: Budget


class Step(NamedTuple):
    """A decision as the worlds need it. `slots` says where the orders that were out have gone."""

    state: int
    slots: tuple[int, ...]
    sent: tuple[tuple[int, int], ...]  # (action, slot)
    answered: bool
    accepted: bool
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """How the world behaves; tests take one away and see the search object."""

    receivers_compare_tokens: bool = True
    recorded_before_sent: bool = True
    ignored: tuple[str, ...] = ()
    """Invariants not looked at, to see what harm is done without them."""


Move = tuple[str, World]


@dataclass
class Model:
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.policy = policy()
        self.states: list[State] = []
        self.actions: list[Action] = []
        self.decisions = 0
        self._state_numbers: dict[State, int] = {}
        self._action_numbers: dict[Action, int] = {}
        self._steps: dict[tuple[object, ...], Step] = {}
        self._later: dict[tuple[int, float], int] = {}
        self._known_closed: dict[int, tuple[bool, bool]] = {}

    def start(self, budget: Budget = Budget()) -> World:
        """An installation on its first day."""
        return World(
            state=self._number(canonical(State(STORE, 1))), fresh=True, truth=(UP, UP),
            seen=((UP, True), (UP, True)), closed=(False, False), zone=(0, 1), flights=((), (), ()),
            outcomes=(), request=None, word=(False, False), budget=budget,
        )  # fmt: skip

    # moves

    def moves(self, world: World) -> Iterator[Move]:
        """Everything that may happen next, in words."""
        yield from self._network(world)
        yield from self._nodes(world)
        yield from self._controller(world)
        yield from self._people(world)
        yield from self._time(world)

    def _controller(self, world: World) -> Iterator[Move]:
        step = self.step(world)
        after = self._recorded(world, step)
        if after != world:
            sent = self._sent(after, step)
            yield f"the controller decides: {self._told(step)}", sent
        kills = world.budget.kills
        if kills:
            less = world.budget._replace(kills=kills - 1)
            yield "the controller is killed and another starts", self._reborn(world, less)
            if after != world and step.sent:
                lost = self._reborn(after, less)
                yield f"killed after recording, before sending: {self._told(step)}", lost
                if not self.rules.recorded_before_sent:
                    hasty = self._reborn(self._sent(world, step), less)
                    yield f"killed after sending, before recording: {self._told(step)}", hasty

    def _reborn(self, world: World, budget: Budget) -> World:
        flights = tuple(tuple(f._replace(slot=-1) for f in way) for way in world.flights)
        return self._tidy(world._replace(fresh=True, flights=flights, outcomes=(), budget=budget))

    def _network(self, world: World) -> Iterator[Move]:
        losses = world.budget.losses
        less = world.budget._replace(losses=losses - 1)
        for receiver in (0, 1, DNS):
            for at, flight in enumerate(world.flights[receiver]):
                order = self._words(flight)
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

    def _nodes(self, world: World) -> Iterator[Move]:
        faults = world.budget.faults
        for node, name in enumerate(NODES):
            truth = world.truth[node]
            for other, words in ((FAILED, "service crashes"), (GONE, "host is out of reach")):
                if faults and truth == UP:
                    budget = world.budget._replace(faults=faults - 1)
                    yield (
                        f"{name}: its {words}",
                        world._replace(truth=_put(world.truth, node, other), budget=budget),
                    )
            if truth != UP:
                yield f"{name} is well again", world._replace(truth=_put(world.truth, node, UP))
            view = self.view(world, node)
            if view != world.seen[node][0]:
                seen = _put(world.seen, node, (view, False))
                yield f"{name} is seen to be {view}", world._replace(seen=seen)

    def _people(self, world: World) -> Iterator[Move]:
        if world.budget.requests and world.request is None:
            budget = world.budget._replace(requests=world.budget.requests - 1)
            for kind in RequestKind:
                for node, name in enumerate(NODES):
                    yield (
                        f"an operator asks: {kind} {name}",
                        world._replace(request=(kind, node, False), budget=budget),
                    )

    def _time(self, world: World) -> Iterator[Move]:
        """Time passes while the controller has nothing to do; observers do not lag for long."""
        if self._recorded(world, self.step(world)) != world:
            return
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
        key = (world.state, seconds)
        if key not in self._later:
            self._later[key] = self._number(canonical(self.states[world.state], seconds))
        request = world.request
        if request is not None and seconds == LONG_S:
            request = (request[0], request[1], True)
        seen = ((world.seen[0][0], True), (world.seen[1][0], True))
        return world._replace(state=self._later[key], request=request, seen=seen)

    # what an order does

    def _arrive(self, world: World, receiver: int, at: int) -> tuple[World, Result]:
        """The receiver's rule: obey what is above everything obeyed, and remember that."""
        flight = world.flights[receiver][at]
        if flight.void and self.rules.receivers_compare_tokens:
            return world, Result.STALE
        action = self.actions[flight.action]
        way = tuple(f._replace(void=True) if i <= at else f for i, f in enumerate(world.flights[receiver]))
        world = world._replace(flights=_put(world.flights, receiver, way))
        if isinstance(action, OrderPorts):
            closed = action.ports[SERVICE].kind is PortKind.CLOSED
            world = world._replace(closed=_put(world.closed, receiver, closed))
        if isinstance(action, Publish):
            world = world._replace(zone=self._nodes_in(action))
        return world, Result.DONE

    def _without(self, world: World, receiver: int, at: int, result: Result | None) -> World:
        """The order has left the network, with the answer its sender gets, if any."""
        way = world.flights[receiver]
        flights = _put(world.flights, receiver, (*way[:at], *way[at + 1 :]))
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

    def _nodes_in(self, action: Publish | Verify) -> tuple[int, ...]:
        values = [value for rrset in action.rrsets for value in rrset.values]
        return tuple(i for i, node in enumerate(self.policy.nodes) if node.addresses[0] in values)

    # the controller

    def step(self, world: World) -> Step:
        """The decision on what the controller knows: it is a function, so each is made once."""
        key = (world.state, world.fresh, world.seen, world.outcomes, world.request, world.word)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._decide(world)
        return step

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
                word = _put(word, request[1], True)
            request = None
        word = tuple(out and not self._serves(step.state, node) for node, out in enumerate(word))
        return self._tidy(
            world._replace(
                state=step.state, fresh=False, flights=flights, outcomes=(), request=request, word=word
            )
        )

    def _serves(self, state: int, node: int) -> bool:
        record = self.states[state].phase_of(NODES[node], ENDPOINT)
        return record is not None and record.phase is Phase.IN_SERVICE

    def _sent(self, world: World, step: Step) -> World:
        flights, outcomes = list(world.flights), list(world.outcomes)
        for number, slot in step.sent:
            action = self.actions[number]
            if isinstance(action, Verify | KickReplication):
                done = isinstance(action, KickReplication) or self._nodes_in(action) == world.zone
                outcomes.append((slot, Result.DONE if done else Result.FAILED))
            else:
                receiver = DNS if isinstance(action, ClaimTarget | Publish) else NODES.index(action.node)
                flights[receiver] = (*flights[receiver], Flight(number, slot, False))
        heard = tuple(sorted(o for o in outcomes if o[0] >= 0))
        return world._replace(flights=tuple(flights), outcomes=heard)

    def _decide(self, world: World) -> Step:
        self.decisions += 1
        state = self.states[world.state]
        snapshot = self._snapshot(world, state)
        decision = core.decide(snapshot)
        request = snapshot.requests[0].id if snapshot.requests else ""
        answer = next((a for a in decision.state.answers if a.request == request), None)
        places = {order.token: slot for slot, order in enumerate(decision.state.orders)}
        sent = tuple((self._action(order.action), places.get(order.token, -1)) for order in decision.send)
        return Step(
            state=self._number(canonical(decision.state)),
            slots=tuple(places.get(order.token, -1) for order in state.orders),
            sent=sent,
            answered=answer is not None,
            accepted=answer is not None and answer.accepted,
            wrong=tuple(self._wrong(world, snapshot, decision)),
        )

    def _snapshot(self, world: World, state: State) -> Snapshot:
        outcomes = []
        for slot, result in world.outcomes:
            order = state.orders[slot]
            fence = None
            if isinstance(order.action, OrderPorts):
                fence = _FENCE[result]
                result = Result.FAILED if result is Result.STALE else result
            outcomes.append(Outcome(order.token, result, NOW, "", fence, Scope.USERS))
        requests: tuple[Request, ...] = ()
        if world.request is not None:
            kind, node, waited = world.request
            at = ago(LONG_S if waited else 0.0)
            requests = (Request("asked", kind, NODES[node], "ann", "", at),)
        return Snapshot(
            now=NOW, policy=self.policy, state=state, versions=Versions(2 if world.fresh else 1, 1, 1),
            standing=Standing.LEADING, may_act_until_s=float("inf"), observers=(report(world.seen),),
            outcomes=tuple(outcomes), requests=requests,
        )  # fmt: skip

    # rules

    def wrong(self, world: World) -> list[str]:
        """What must never be true."""
        found = []
        if not world.zone:
            found.append("I2: the endpoint has no address")
        elif all(world.closed[node] for node in world.zone):
            found.append("I2: the zone names only nodes whose ports we have closed")
        if all(world.closed):
            found.append("I8: both nodes' ports are closed by us")
        step = self.step(world)
        found += step.wrong
        for node, name in enumerate(NODES):
            record = self.states[step.state].phase_of(name, ENDPOINT)
            if step.state == world.state or record is None or record.phase is not Phase.PROMOTING:
                continue
            before = self.states[world.state].phase_of(name, ENDPOINT)
            if before and before.phase is Phase.REJOINING and not world.closed[node]:
                found.append(f"I12: {name} was not tried behind closed ports")
        return [text for text in found if not text.startswith(self.rules.ignored or ("-",))]

    def _wrong(self, world: World, snapshot: Snapshot, decision: Decision) -> Iterator[str]:
        """What must never be decided."""
        yield from decision.broken
        if decision.fatal:
            yield f"fatal: {decision.fatal}"
        before, after = snapshot.state, decision.state
        last = Token(STORE, snapshot.versions.epoch, before.seq if not world.fresh else 0)
        for order in decision.send:
            if not order.token > last:
                yield f"I1: {order.token} is not above {last}"
            last = order.token
        for node, name in enumerate(NODES):
            old, new = (s.phase_of(name, ENDPOINT) for s in (before, after))
            if old is None or new is None or old.phase is new.phase:
                continue
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

    def settled(self, world: World) -> bool:
        """Nothing is on its way or waited for, and clients are sent to everybody who serves: all who are
        well, but whom an operator took out; and the last one, even if it is not."""
        state = self.states[world.state]
        if world.request or world.outcomes or state.operation or state.orders:
            return False
        if world.flights[DNS] or any(world.flights[node] and world.truth[node] != GONE for node in (0, 1)):
            return False
        in_service = [self._serves(world.state, node) for node in (0, 1)]
        for node, name in enumerate(NODES):
            record = state.phase_of(name, ENDPOINT)
            by_word = record is not None and record.cause is Cause.OPERATOR
            well, other_well = world.truth[node] == UP, world.truth[1 - node] == UP
            if in_service[node]:
                if world.closed[node] or (not well and other_well and in_service[1 - node]):
                    return False
            elif well and not (by_word and world.closed[node]):
                return False
        return world.zone == tuple(node for node in (0, 1) if in_service[node])

    # looking

    def view(self, world: World, node: int) -> str:
        """What an observer would say of a node now: `up` or `failed` as clients see it, or behind ports
        it knows to be closed, or `gone`."""
        truth = world.truth[node]
        if truth == GONE:
            return GONE
        known = self._known_closed.get(world.state)
        if known is None:
            known = self._known_closed[world.state] = self._closed_by_record(self.states[world.state])
        if known[node]:
            return f"{truth} behind closed ports"
        return FAILED if world.closed[node] else truth

    def _closed_by_record(self, state: State) -> tuple[bool, bool]:
        records = [state.ports_of(name) for name in NODES]
        a, b = (
            r is not None and r.fence is FenceOutcome.CONFIRMED and r.ports[SERVICE].kind is PortKind.CLOSED
            for r in records
        )
        return a, b

    def _number(self, state: State) -> int:
        number = self._state_numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def _action(self, action: Action) -> int:
        action = of_action(action)
        number = self._action_numbers.setdefault(action, len(self.actions))
        if number == len(self.actions):
            self.actions.append(action)
        return number

    # words

    def _words(self, flight: Flight) -> str:
        late = "" if flight.slot >= 0 else "an old order, "
        return f"{late}{self._action_words(self.actions[flight.action])}"

    def _action_words(self, action: Action) -> str:
        if isinstance(action, Publish):
            return f"'publish {'+'.join(NODES[n] for n in self._nodes_in(action))}'"
        if isinstance(action, OrderPorts):
            kind = action.ports[SERVICE].kind
            return f"'{'close' if kind is PortKind.CLOSED else 'open'} {action.node}'"
        where = action.target if isinstance(action, ClaimTarget | Verify) else action.node
        return f"'{action.kind} {where}'" if not isinstance(action, ClaimHelper) else f"'claim {where}'"

    def told(self, world: World) -> str:
        zone = "+".join(NODES[node] for node in world.zone) or "nobody"
        closed = [name for node, name in enumerate(NODES) if world.closed[node]]
        ports = f"{' and '.join(closed)} closed" if closed else "all open"
        return f"{self._recorded_words(self.states[world.state])}; the zone names {zone}, {ports}"

    def _told(self, step: Step) -> str:
        sends = ", ".join(self._action_words(self.actions[number]) for number, _ in step.sent)
        return f"{self._recorded_words(self.states[step.state])}{f'; sends {sends}' if sends else ''}"

    def _recorded_words(self, state: State) -> str:
        phases = ", ".join(f"{r.node} {r.phase}" for r in state.phases)
        running = state.operation
        return (
            f"{phases}{f'; {running.kind} of {running.node or TARGET} at {running.step}' if running else ''}"
        )


_FENCE = {
    Result.DONE: FenceOutcome.CONFIRMED, Result.STALE: FenceOutcome.FAILED,
    Result.UNKNOWN: FenceOutcome.UNKNOWN,
}  # fmt: skip


def _put(values: Any, at: int, value: object) -> Any:
    return (*values[:at], value, *values[at + 1 :])


def _asked_back(state: State, node: str) -> bool:
    operation = state.operation
    return operation is not None and operation.node == node and operation.request is not None
