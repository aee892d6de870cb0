"""Reports, requests, pauses, leaders, answers and time in any order, around the real `decide`: no decision
breaks a rule, raises, or grows without bound; and when all is well again everybody serves."""

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.simulation.crowd import NAMES, NODES, OBSERVERS, Crowd, Look
from tests.unit.core.scene import facts

from mailward.model.fencing import FenceOutcome, UnitState
from mailward.model.health import FailureKind, Vantage, Verdict
from mailward.model.orders import Result
from mailward.model.replication import Confidence, Lag
from mailward.model.snapshot import Standing
from mailward.model.state import Phase, RequestKind

nodes = st.sampled_from(NODES)
observers = st.sampled_from([observer.name for observer in OBSERVERS])
services = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
ages = st.sampled_from([0.0, 0.5, 1.5, 3.0, 20.0, 1000.0])
looks = st.builds(
    Look, st.sampled_from(Verdict), ages, st.sampled_from(FailureKind), st.sampled_from(Vantage)
)
WELL = Look(Verdict.UP, 60.0, FailureKind.REFUSED, Vantage.DIRECT)


class Core(RuleBasedStateMachine):
    """Every rule is one thing that happens; after each the decision is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd()

    @initialize(settled=st.booleans())
    def it_runs_already(self, settled: bool) -> None:
        for _ in range(8 if settled else 0):
            self.crowd.answer_all()
            self.crowd.record()

    @invariant()
    def the_decision_is_as_every_decision_must_be(self) -> None:
        self.crowd.look()

    # what is seen

    @rule(observer=observers, node=nodes, services=services, look=looks)
    def one_says(self, observer: str, node: str, services: list[str], look: Look) -> None:
        self.crowd.says(observer, node, services, look)

    @rule(node=nodes, look=looks)
    def all_say(self, node: str, look: Look) -> None:
        self.crowd.all_see(node, look)

    @rule(node=nodes, age_s=ages)
    def a_node_fails(self, node: str, age_s: float) -> None:
        self.crowd.all_see(node, Look(Verdict.DOWN, age_s, FailureKind.REFUSED, Vantage.DIRECT))
        self.crowd.vantages.clear()

    @rule(node=nodes)
    def a_node_is_gone(self, node: str) -> None:
        self.crowd.all_see(node, Look(Verdict.DOWN, 5.0, FailureKind.TIMEOUT, Vantage.DIRECT))
        self.crowd.facts[node] = None

    @rule(node=nodes, steps=st.integers(1, 8))
    def a_failure_is_dealt_with(self, node: str, steps: int) -> None:
        """As far as that comes: most of an operation's states are reached only in order."""
        self.a_node_fails(node, 20.0)
        for _ in range(steps):
            self.crowd.answer_all()
            self.crowd.now_s += 0.3
            self.crowd.record()

    @rule(node=nodes)
    def a_node_is_well(self, node: str) -> None:
        self.crowd.all_see(node, WELL)
        self.crowd.vantages.clear()
        self.crowd.facts[node] = facts(node)

    @rule(node=nodes, free=st.sampled_from([0, 10**12]))
    def a_disk_fills(self, node: str, free: int) -> None:
        self.crowd.disk(node, free)

    @rule(node=nodes, unit=st.sampled_from(UnitState))
    def a_unit_changes(self, node: str, unit: UnitState) -> None:
        self.crowd.restarting(node, unit)

    @rule(age_s=st.sampled_from([0.5, 100.0]))
    def facts_age(self, age_s: float) -> None:
        self.crowd.facts_age_s = age_s

    @rule(source=nodes, to=nodes, figure=st.sampled_from([None, 0.0, 4.0, 400.0, float("inf")]))
    def replication_lags(self, source: str, to: str, figure: float | None) -> None:
        confidence = Confidence.UNKNOWN if figure is None else Confidence.KNOWN
        self.crowd.lags[source, to] = Lag(source, to, confidence, figure, 1, 0)

    @rule(observer=observers, silent=st.booleans(), tilted=st.booleans(), age_s=st.sampled_from([0.0, 99.0]))
    def an_observer_is_blind(self, observer: str, silent: bool, tilted: bool, age_s: float) -> None:
        self.crowd.is_blind(observer, silent, tilted, age_s)

    # what people do

    @rule(kind=st.sampled_from(RequestKind), node=st.sampled_from([*NODES, "nobody"]), force=st.booleans())
    def somebody_asks(self, kind: RequestKind, node: str, force: bool) -> None:
        self.crowd.ask(kind, node, force=force)

    @rule(for_s=st.sampled_from([-1.0, 5.0, 100.0]))
    def somebody_pauses(self, for_s: float) -> None:
        self.crowd.paused(for_s)

    # what the controller does, and what comes of it

    @rule(times=st.integers(1, 3))
    def it_is_recorded(self, times: int) -> None:
        for _ in range(times):
            self.crowd.record()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 11.0, 31.0, 100.0]), steps=st.integers(1, 4))
    def time_passes(self, seconds: float, steps: int) -> None:
        for _ in range(steps):
            self.crowd.now_s += seconds / steps
            self.crowd.record()

    @rule(seconds=st.sampled_from([1.0, 3.0, 15.0, 40.0]))
    def all_is_done_while_time_passes(self, seconds: float) -> None:
        for _ in range(10):
            self.crowd.answer_all()
            self.crowd.now_s += seconds / 10
            self.crowd.record()

    @precondition(lambda self: self.crowd.out)
    @rule(
        index=st.integers(0, 99), result=st.sampled_from(Result), fence=st.sampled_from(FenceOutcome),
        again=st.booleans(),
    )  # fmt: skip
    def an_outcome_comes(self, index: int, result: Result, fence: FenceOutcome, again: bool) -> None:
        order = self.crowd.out[index % len(self.crowd.out)]
        self.crowd.answer(order, result, fence)
        if not again:
            self.crowd.out.remove(order)

    @rule(forgotten=st.booleans())
    def a_commit_is_lost(self, forgotten: bool) -> None:
        """Nothing is recorded, nothing leaves, and what was heard is heard again, or forgotten."""
        self.crowd.look()
        if forgotten:
            self.crowd.outcomes.clear()

    @rule()
    def another_leads(self) -> None:
        self.crowd.restarted()

    @rule(standing=st.sampled_from(Standing))
    def the_standing_changes(self, standing: Standing) -> None:
        self.crowd.standing = standing

    @rule()
    def the_host_reboots(self) -> None:
        self.crowd.boot_id += "+"
        self.crowd.restarted()

    def teardown(self) -> None:
        """All is well from now on, and what is ordered is done; but of what is out at first nobody hears."""
        self.crowd.heal()
        for _ in range(6):
            self.crowd.record()
            self.crowd.out.clear()
            self.crowd.now_s += 1.0
        for _ in range(60):
            self.crowd.answer_all()
            self.crowd.now_s += 4.0
            self.crowd.record()
        state = self.crowd.state
        note(str(state))
        assert state.operation is None
        assert not self.crowd.requests, "every request is answered"
        for record in state.phases:
            by_hand = record.phase is Phase.OUT and record.cause == "operator"
            assert by_hand or record.phase is Phase.IN_SERVICE, record


Core.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TestCore = Core.TestCase
