"""Whatever happens, in whatever order: no decision raises, breaks a rule, or grows without bound; it is a
function; and once all is well and every order succeeds, every operation ends and everybody serves."""

import json
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests.unit.core.scene import MAIL, Scene, facts, imap_and_smtp, policy_of

from mailward.controller.codec import SNAPSHOT, STATE
from mailward.controller.core import bounds
from mailward.controller.core.decide import decide
from mailward.controller.telling import told
from mailward.model.fencing import UnitState
from mailward.model.health import FailureKind
from mailward.model.orders import Result
from mailward.model.policy import Policy, Rules
from mailward.model.replication import Confidence, Lag
from mailward.model.snapshot import Standing
from mailward.model.state import Phase, RequestKind, State

RULES = Rules(
    stable_s=2.0, hold_down_s=5.0, hold_down_max_s=40.0, catch_up_wait_s=60.0, failovers_per_hour=1000
)
NODES = ("a", "b", "c")
SERVICES = ("smtp", "submission", "imaps")
KINDS = ("claim-target", "claim-helper", "publish", "verify", "order-ports", "kick-replication")

RESULTS = (None, *(result for result in Result if result is not Result.FOREIGN))

Event = Callable[[Scene], object]

nodes = st.sampled_from(NODES)
services = st.lists(st.sampled_from(SERVICES), min_size=1, max_size=3, unique=True)
seconds = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 11.0, 31.0, 65.0])


def _down(node: str, which: list[str], ago: float, kind: FailureKind, stage: str) -> Event:
    return lambda s: s.down(node, *which, for_s=ago, kind=kind, stage=stage)


def _ask(kind: RequestKind, node: str, force: bool) -> Event:
    return lambda s: s.ask(kind, node, force=force)


def _answers(kind: str, result: Result | None) -> Event:
    return lambda s: s.answers.__setitem__(kind, result)


def _disk(node: str, free: int) -> Event:
    return lambda s: s.disk(node, free)


def _lag(source: str, target: str, figure: float | None, failed: int) -> Event:
    return lambda s: s.lags.__setitem__(
        (source, target),
        Lag(source, target, Confidence.UNKNOWN if figure is None else Confidence.KNOWN, figure, 1, failed),
    )


def _standing(standing: Standing) -> Event:
    return lambda s: setattr(s, "standing", standing)


def _paused(for_s: float) -> Event:
    return lambda s: s.paused(for_s)


def _force(node: str, forced: bool) -> Event:
    return lambda s: s.facts.__setitem__(node, replace(facts(node), forced=forced, applied=not forced))


def _lose_outcomes(scene: Scene) -> None:
    scene.outcomes.clear()


def _double_outcomes(scene: Scene) -> None:
    scene.outcomes = [*scene.outcomes, *reversed(scene.outcomes)]


def _late_outcome(index: int, result: Result) -> Event:
    """An answer to an order given long ago."""

    def event(scene: Scene) -> None:
        if scene.sent:
            order = scene.sent[index % len(scene.sent)]
            scene.outcomes.append(scene._outcome(order, result))

    return event


def _pass(seconds: float, steps: int) -> Event:
    def event(scene: Scene) -> None:
        for _ in range(steps):
            scene.step(seconds / steps)

    return event


events = st.one_of(
    st.builds(
        _down, nodes, services, seconds, st.sampled_from(FailureKind), st.sampled_from(["connect", "login"])
    ),
    st.builds(lambda n: lambda s: s.gone(n), nodes),
    st.builds(lambda n, t: lambda s: s.back(n, for_s=t), nodes, seconds),
    st.builds(lambda n, w: lambda s: s.up(n, *w), nodes, services),
    st.builds(lambda n, w: lambda s: s.unknown(n, *w), nodes, services),
    st.builds(_disk, nodes, st.sampled_from([0, 10**12])),
    st.builds(lambda n: lambda s: s.restarting(n, UnitState.STARTING), nodes),
    st.builds(_force, nodes, st.booleans()),
    st.builds(_lag, nodes, nodes, st.sampled_from([None, 0.0, 4.0, 400.0, float("nan")]), st.integers(0, 2)),
    st.builds(_answers, st.sampled_from(KINDS), st.sampled_from(RESULTS)),
    st.builds(_ask, st.sampled_from(RequestKind), st.sampled_from([*NODES, "nobody"]), st.booleans()),
    st.builds(_paused, st.sampled_from([-1.0, 5.0, 100.0])),
    st.just(lambda s: s.restarted()),
    st.just(_lose_outcomes),
    st.just(_double_outcomes),
    st.builds(_late_outcome, st.integers(0, 1000), st.sampled_from(Result)),
    st.builds(_standing, st.sampled_from(Standing)),
    st.builds(_pass, seconds, st.integers(1, 4)),
    st.builds(_pass, seconds, st.integers(1, 4)),
    st.builds(_pass, seconds, st.integers(1, 4)),
)  # fmt: skip

policies = st.sampled_from(
    [
        policy_of(NODES[:2], rules=RULES),
        policy_of(NODES, rules=RULES),
        policy_of(NODES, imap_and_smtp(NODES), rules=RULES),
        policy_of(NODES[:2], imap_and_smtp(NODES[:2]), rules=RULES),
    ]
)


def play(policy: Policy, history: list[Event]) -> Scene:
    """Every decision on the way is checked by `Scene.look`."""
    scene = Scene(policy)
    for event in history:
        event(scene)
        before = scene.state
        scene.step()
        assert all(told(before, scene.state)), "whatever changes has its words"
    return scene


def heal(scene: Scene) -> None:
    """All is well, from now on; a store that was told it is an old copy has been made anew."""
    scene.answers.clear()
    scene.standing = Standing.LEADING
    scene.step()  # what was answered before is heard
    if scene.state.superseded:
        scene.state = State(scene.state.store_id, scene.epoch, scene.epoch)
        scene.restarted()
    scene.pause = None
    for node in NODES:
        scene.back(node)
        for other in NODES:
            scene.lag(node, other, 0.0)


modest = settings(
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@modest
@given(policies, st.lists(events, max_size=30))
def test_no_history_breaks_a_rule_and_what_was_broken_heals(policy: Policy, history: list[Event]) -> None:
    scene = play(policy, history)
    assert_bounded(scene)
    heal(scene)
    scene.run(150, every_s=2.5)
    note(str(scene.state))
    assert scene.state.operation is None
    assert not scene.state.orders
    assert not scene.requests, "every request is answered"
    for record in scene.state.phases:
        by_hand = record.phase is Phase.OUT and record.cause == "operator"
        assert by_hand or record.phase is Phase.IN_SERVICE, record
    assert_bounded(scene)


@modest
@given(policies, st.lists(events, max_size=30))
def test_a_decision_is_a_function_of_its_snapshot_and_both_can_be_written_down(
    policy: Policy, history: list[Event]
) -> None:
    scene = play(policy, history)
    snapshot = scene.snapshot()
    decision = decide(snapshot)
    assert decide(snapshot) == decision
    read = SNAPSHOT.load(SNAPSHOT.dump(snapshot), "snapshot")
    assert decide(read) == decision
    assert STATE.load(STATE.dump(decision.state), "state") == decision.state


def assert_bounded(scene: Scene) -> None:
    state = scene.state
    assert len(STATE.dump(state)) < 64 * 1024
    assert json.loads(STATE.dump(state))["store_id"] == state.store_id
    assert len(state.ended) <= bounds.ENDED
    assert len(state.answers) <= bounds.ANSWERS
    assert len(state.episodes) <= bounds.EPISODES
    assert len(state.flaps) <= bounds.FLAPS
    assert len(state.fenced_at) <= bounds.FENCED_AT
    assert len(state.orders) <= 12


def test_the_longest_texts_from_outside_keep_the_state_small() -> None:
    """Every list full, every text as long as it may be."""
    scene = Scene.settled(policy_of(NODES, imap_and_smtp(NODES), rules=RULES))
    long = "ü" * 100_000
    for kind in KINDS:
        scene.details[kind] = long
    for round_ in range(60):
        scene.answers = {kind: Result.FAILED for kind in KINDS if kind not in ("claim-target", "publish")}
        for node in NODES:
            scene.ask(RequestKind.FAILOVER, node, reason=long)
            scene.ask(RequestKind.READMIT, node, reason=long, force=True)
        scene.down(NODES[round_ % 3], "submission", for_s=5)
        scene.run(70, every_s=10)
        heal(scene)
        scene.run(40, every_s=10)
        for node in NODES:
            scene.ask(RequestKind.READMIT, node)
        scene.run(20, every_s=5)
    assert len(scene.state.ended) == bounds.ENDED
    assert len(scene.state.answers) == bounds.ANSWERS
    size = len(STATE.dump(scene.state))
    assert size < 68 * 1024, size
    assert MAIL in str(scene.state)
