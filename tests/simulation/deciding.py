"""The controller of the search: the real `decide` on what it knows. It is a function, so each decision is
made once, however many worlds it is made in."""

from dataclasses import dataclass, field

from tests.simulation import told
from tests.simulation.canonical import (
    ENDPOINT,
    LONG_S,
    NODES,
    NOW,
    SERVICE,
    ago,
    canonical,
    of_action,
    policy,
)  # fmt: skip
from tests.simulation.judged import never_decided
from tests.simulation.observed import report
from tests.simulation.worlds import Step, World

from mailward.controller.core import decide as core
from mailward.model.fencing import FenceOutcome, PortKind, Scope
from mailward.model.orders import Action, OrderPorts, Outcome, Publish, Result, Verify
from mailward.model.snapshot import Snapshot, Standing, Versions
from mailward.model.state import Phase, Request, State

_FENCE = {
    Result.DONE: FenceOutcome.CONFIRMED, Result.STALE: FenceOutcome.FAILED,
    Result.UNKNOWN: FenceOutcome.UNKNOWN,
}  # fmt: skip


@dataclass
class Controller:
    """Knows recorded states and actions by number."""

    def __post_init__(self) -> None:
        self.policy = policy()
        self.states: list[State] = []
        self.phases: list[tuple[Phase | None, ...]] = []
        self.actions: list[Action] = []
        self.words: list[str] = []
        self.decisions = 0

    _state_numbers: dict[State, int] = field(default_factory=dict)
    _action_numbers: dict[Action, int] = field(default_factory=dict)
    _steps: dict[tuple[object, ...], Step] = field(default_factory=dict)
    _later: dict[tuple[int, float], int] = field(default_factory=dict)
    _known_closed: dict[int, tuple[bool, bool]] = field(default_factory=dict)

    def step(self, world: World) -> Step:
        key = (world.state, world.fresh, world.seen, world.outcomes, world.request, world.word)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._decide(world)
        return step

    def later(self, state: int, seconds: float) -> int:
        """A recorded state as it looks when some time has passed."""
        key = (state, seconds)
        if key not in self._later:
            self._later[key] = self.number(canonical(self.states[state], seconds))
        return self._later[key]

    def serves(self, state: int, node: int) -> bool:
        return self.phases[state][node] is Phase.IN_SERVICE

    def known_closed(self, state: int) -> tuple[bool, bool]:
        known = self._known_closed.get(state)
        if known is None:
            a, b = (_closed_by_record(self.states[state], name) for name in NODES)
            known = self._known_closed[state] = a, b
        return known

    def named_in(self, action: Publish | Verify) -> tuple[int, ...]:
        """The nodes that an action publishes."""
        values = [value for rrset in action.rrsets for value in rrset.values]
        return tuple(i for i, node in enumerate(self.policy.nodes) if node.addresses[0] in values)

    def number(self, state: State) -> int:
        number = self._state_numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            records = [state.phase_of(name, ENDPOINT) for name in NODES]
            self.phases.append(tuple(record.phase if record else None for record in records))
        return number

    def _action(self, action: Action) -> int:
        action = of_action(action)
        number = self._action_numbers.setdefault(action, len(self.actions))
        if number == len(self.actions):
            self.actions.append(action)
            self.words.append(told.of_action(self.named_in, action))
        return number

    def _decide(self, world: World) -> Step:
        self.decisions += 1
        state = self.states[world.state]
        snapshot = self._snapshot(world, state)
        try:
            decision = core.decide(snapshot)
        except AssertionError as error:
            return Step(
                world.state, tuple(range(len(state.orders))), (), False, False, (f"raised: {error}",), ""
            )
        request = snapshot.requests[0].id if snapshot.requests else ""
        answer = next((a for a in decision.state.answers if a.request == request), None)
        places = {order.token: slot for slot, order in enumerate(decision.state.orders)}
        sent = tuple((self._action(order.action), places.get(order.token, -1)) for order in decision.send)
        after = self.number(canonical(decision.state))
        sends = ", ".join(self.words[number] for number, _ in sent)
        return Step(
            state=after,
            slots=tuple(places.get(order.token, -1) for order in state.orders),
            sent=sent,
            answered=answer is not None,
            accepted=answer is not None and answer.accepted,
            wrong=tuple(never_decided(world, snapshot, decision)),
            words=f"{told.of_state(self.states[after])}{f'; sends {sends}' if sends else ''}",
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


def _closed_by_record(state: State, node: str) -> bool:
    record = state.ports_of(node)
    if record is None or record.fence is not FenceOutcome.CONFIRMED:
        return False
    return record.ports[SERVICE].kind is PortKind.CLOSED
