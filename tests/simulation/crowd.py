"""Three observers who see three nodes each in its own way, and a core whose orders are answered anyhow.

Two endpoints share nodes and a service, and are on two DNS targets. Everything that goes into a decision is
set at will; a decision is looked at from all sides before it is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.unit.core.scene import SERVICES, Scene, Seen, Voice, policy_of

from mailward.controller.codec import SNAPSHOT, STATE
from mailward.controller.core import bounds
from mailward.controller.core.decide import decide
from mailward.controller.core.phases import may_follow
from mailward.controller.telling import told
from mailward.model.decision import Decision
from mailward.model.fencing import FenceOutcome, Scope
from mailward.model.health import Failure, FailureKind, Vantage, Verdict
from mailward.model.orders import Order, OrderPorts, Outcome, Result
from mailward.model.policy import Endpoint, Observer, Policy, Rules
from mailward.model.snapshot import Standing
from mailward.model.state import State
from mailward.model.token import Token

NODES = ("a", "b", "c")
OBSERVERS = (Observer("o1", "graz", 2), Observer("o2", "wien", 1), Observer("o3", "linz", 1))
IMAP = Endpoint("imap.example.test", ("imaps",), ("a", "b"), 30, ("ns1", "ns2"))
MAIL = Endpoint("mail.example.test", ("submission", "imaps"), NODES, 10, ("ns1",))
NAMES = tuple(service.name for service in SERVICES)
ORDERS_OUT = 12
"""One for each target and node and kind of action: what is ordered anew replaces what was out."""


def policy() -> Policy:
    rules = Rules(
        stable_s=2.0, hold_down_s=5.0, hold_down_max_s=40.0, step_patience_s=20.0, catch_up_wait_s=30.0,
        failovers_per_hour=20,
    )  # fmt: skip
    return policy_of(NODES, (IMAP, MAIL), rules=rules, observers=OBSERVERS)


@dataclass(frozen=True)
class Look:
    """What an observer says of a service."""

    verdict: Verdict
    age_s: float
    kind: FailureKind
    vantage: Vantage


class Crowd(Scene):
    """Mutable; what is sent stays out until it is answered, if ever."""

    def __init__(self) -> None:
        super().__init__(policy())
        self.vantages: dict[tuple[str, str], Vantage] = {}
        self.out: list[Order] = []
        self.highest: Token | None = None

    def says(self, observer: str, node: str, services: Sequence[str], look: Look) -> None:
        since = self.now_s - look.age_s
        down = look.verdict is Verdict.DOWN
        seen = Seen(look.verdict, since, since if down else None, Failure(look.kind, "") if down else None)
        voice = self.voices.get(observer, Voice())
        sees = {**voice.sees, **{(node, service): seen for service in services}}
        self.voices[observer] = replace(voice, sees=sees)
        self.vantages.update({(node, service): look.vantage for service in services})

    def all_see(self, node: str, look: Look) -> None:
        for observer in OBSERVERS:
            self.says(observer.name, node, NAMES, look)

    def is_blind(self, observer: str, silent: bool, tilted: bool, age_s: float) -> None:
        voice = self.voices.get(observer, Voice())
        self.voices[observer] = replace(voice, silent=silent, tilted=tilted, age_s=age_s)

    def heal(self) -> None:
        """All is well, and everybody sees it."""
        self.voices, self.vantages, self.pause = {}, {}, None
        self.standing, self.facts_age_s = Standing.LEADING, 0.5
        for node in NODES:
            self.back(node, for_s=60.0)
            for other in NODES:
                self.lag(node, other, 0.0)

    def _vantage(self, node: str, service: str) -> Vantage:
        return self.vantages.get((node, service)) or super()._vantage(node, service)

    def answer(self, order: Order, result: Result, fence: FenceOutcome) -> None:
        """An outcome comes; the order may have been answered or given up before."""
        ports = isinstance(order.action, OrderPorts)
        scope = Scope.USERS if ports and fence is FenceOutcome.CONFIRMED else Scope.NONE
        self.outcomes.append(
            Outcome(order.token, result, self.now, "as told", fence if ports else None, scope)
        )

    def answer_all(self) -> None:
        """Everything that is out is done."""
        for order in self.out:
            self.answer(order, Result.DONE, FenceOutcome.CONFIRMED)
        self.out.clear()

    def look(self) -> Decision:
        """Decide, and see that the decision is as every decision must be; nothing comes of it."""
        snapshot = self.snapshot()
        decision = super().look()
        assert decide(snapshot) == decision, "the same snapshot, another decision"
        read = SNAPSHOT.load(SNAPSHOT.dump(snapshot), "snapshot")
        assert decide(read) == decision, "another decision from what was written down"
        assert STATE.load(STATE.dump(decision.state), "state") == decision.state
        self._explained(decision)
        self._tokens_rise(decision)
        assert_legal(snapshot.state, decision.state)
        assert_bounded(decision.state)
        assert all(told(snapshot.state, decision.state))
        return decision

    def record(self) -> Decision:
        """The decision is committed, and its orders leave."""
        decision = self.look()
        if decision.fatal:
            self.restarted()
            return decision
        self.state, self.outcomes = decision.state, []
        answered = {answer.request for answer in self.state.answers}
        self.requests = [request for request in self.requests if request.id not in answered]
        self.out += decision.send
        if decision.send:
            self.highest = decision.send[-1].token
        return decision

    def restarted(self) -> None:
        super().restarted()
        self.out.clear()

    def _explained(self, decision: Decision) -> None:
        pairs = {(each.node, each.endpoint) for each in decision.explanations}
        assert pairs == set(self.policy.pairs), "every (node, endpoint) is explained, and no other"

    def _tokens_rise(self, decision: Decision) -> None:
        last = self.highest
        for order in decision.send:
            assert last is None or order.token > last, f"{order.token} is not above {last}"
            last = order.token


def assert_legal(before: State, after: State) -> None:
    for record in after.phases:
        old = before.phase_of(record.node, record.endpoint)
        assert may_follow(old.phase if old else None, record.phase), (old, record)
    ended = {entry.operation.id for entry in after.ended}
    assert after.operation is None or after.operation.id not in ended


def assert_bounded(state: State) -> None:
    assert len(state.ended) <= bounds.ENDED
    assert len(state.answers) <= bounds.ANSWERS
    assert len(state.episodes) <= bounds.EPISODES
    assert len(state.fenced_at) <= bounds.FENCED_AT
    assert len(state.flaps) <= bounds.FLAPS
    assert len(state.orders) <= ORDERS_OUT
    assert len(STATE.dump(state)) < 64 * 1024
    if state.operation is not None:
        assert len(state.operation.notes) <= bounds.NOTES
        assert len(state.operation.attempts) <= ORDERS_OUT
