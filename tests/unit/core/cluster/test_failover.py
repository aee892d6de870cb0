"""A failover in a cluster: nothing is opened before every other node is known to be stopped, DNS changes when
the new one serves, and where that cannot be, nothing is promoted and a person is told what to type."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, STORE, Scene, Seen, cluster_of, facts, opened, phases

from mailward.controller.core import decide as core
from mailward.controller.core.cluster import ladder
from mailward.model.decision import Answered
from mailward.model.fencing import FenceOutcome, Hook, PortKind, Scope
from mailward.model.orders import OrderPorts, Outcome, PowerOff, Publish, Result
from mailward.model.policy import Automation, Loss, Rules, RungKind
from mailward.model.state import Cause, Ending, Kind, Phase, RequestKind, State, Step
from mailward.model.token import Token

LADDER = (RungKind.HELPER, RungKind.AGENT)


def published(scene: Scene) -> list[tuple[str, ...]]:
    return [
        next(r.values for r in action.rrsets if r.type == "A")
        for action in scene.actions()
        if isinstance(action, Publish)
    ]


def last(scene: Scene) -> tuple[Kind, Ending]:
    ended = scene.state.ended[-1]
    return ended.operation.kind, ended.ending


def test_the_standby_stands_behind_closed_ports() -> None:
    scene = Scene.of_a_cluster()
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    ports = scene.state.ports_of("b")
    assert ports is not None
    assert ports.fence is FenceOutcome.CONFIRMED
    assert {port.kind for port in ports.ports.values()} == {PortKind.CLOSED}


def test_a_short_failure_is_ridden_out() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a")
    scene.run(25)
    scene.up("a")
    scene.run(60)
    assert scene.state.operation is None
    assert phases(scene)["a"] is Phase.IN_SERVICE
    assert scene.finding("takeover", "a").reason.startswith("nothing has failed")


def test_who_failed_is_stopped_and_the_standby_promoted_then_published() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert last(scene) == (Kind.FAILOVER, Ending.DONE)
    kinds = [(a.kind, getattr(a, "node", "")) for a in scene.actions() if isinstance(a, OrderPorts | Publish)]
    stopped_and_demoted = [("order-ports", "a")] * 2
    assert kinds == [*stopped_and_demoted, ("order-ports", "b"), ("publish", "")]
    assert published(scene) == [("192.0.2.11",)]


def test_nothing_is_opened_while_the_failed_one_is_not_known_to_be_stopped() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(300)
    assert scene.state.operation is not None
    assert scene.state.operation.step is Step.FENCE
    assert opened(scene) == []
    assert published(scene) == []
    assert "a is not known to be stopped (helper: as told)" in scene.look().waits_for


def test_the_next_rung_is_tried_when_the_one_before_has_not_confirmed() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert [a.kind for a in scene.actions() if getattr(a, "node", "") == "a"][:2] == [
        "order-ports",
        "power-off",
    ]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


def ways(scene: Scene, node: str) -> list[tuple[str, str]]:
    """By which way a node was ordered what, and under which token, in order."""
    return [
        (o.action.by.value if isinstance(o.action, OrderPorts) else "power", str(o.token.seq))
        for o in scene.sent
        if isinstance(o.action, OrderPorts | PowerOff) and o.action.node == node
    ]


ALL_WAYS = (RungKind.ASK, *LADDER)


def test_the_daemon_beside_a_node_is_asked_before_its_helper_is_ordered_and_power_comes_last() -> None:
    """Each way has a token of its own, and they close the same ports on the same terms."""
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS, rules=Rules(fence_scope=Scope.WRITES)))
    scene.scope = Scope.WRITES
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    tried = ways(scene, "a")[:3]
    assert [way for way, _ in tried] == ["ask", "helper", "power"]
    assert len({token for _, token in tried}) == 3
    first, second = [a for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a"][:2]
    assert (first.ports, first.terms) == (second.ports, second.terms)
    assert (first.terms.stop, opened(scene)) == (True, ["b"])


def test_who_was_stopped_by_the_daemon_beside_it_is_ordered_nothing_else() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.run(20)
    stopping = [
        a for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a" and not a.terms.hook
    ]
    assert [action.by for action in stopping] == [RungKind.ASK]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


def test_while_the_daemon_beside_a_node_has_not_answered_nothing_else_is_tried() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    scene.run(5)
    assert [way for way, _ in ways(scene, "a")] == ["ask"]
    scene.run(20)
    assert [way for way, _ in ways(scene, "a")][:2] == ["ask", "helper"]


def test_where_the_standby_waits_for_mail_of_who_has_failed_it_is_said_how_to_let_it_in() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    scene.lag("b", "a", 400.0)
    scene.back("a", for_s=3600)
    scene.run(20)
    assert scene.phase("a") is Phase.REJOINING
    scene.gone("b", for_s=31)
    refused = scene.ask(RequestKind.FAILOVER, "b")
    scene.run(2)
    (answer,) = [each for each in scene.state.answers if each.request == refused.id]
    assert not answer.accepted
    assert answer.detail.endswith(". Try: mailward readmit a --force")
    scene.ask(RequestKind.READMIT, "a", force=True)
    scene.run(2)
    assert scene.phase("a") is Phase.STANDBY


def test_who_is_to_stop_it_by_hand_is_told_so_also_while_each_way_is_tried_again() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off:a": Result.UNKNOWN})
    scene.run(5)
    assert "mailward vouch a --operation" in scene.look().waits_for
    scene.answers.update({"order-ports:a": None, "power-off:a": None})
    for _ in range(200):
        scene.step(0.5)
        assert "mailward vouch a --operation" in scene.look().waits_for
        assert len(scene.state.orders) <= 1, "one rung at a time"
    assert "being tried again" in scene.look().waits_for


def test_what_is_said_of_one_way_does_not_count_for_what_went_another_way_since() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    scene.run(2)
    (asked,) = scene.state.orders
    newer = replace(asked.token, seq=asked.token.seq + 1)
    records = tuple(replace(r, token=newer) if r.node == "a" else r for r in scene.state.ports)
    scene.state = replace(scene.state, seq=newer.seq, ports=records)
    scene.outcomes = [Outcome(asked.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.USERS)]
    scene.step()
    newest = scene.actions()[-1]
    assert isinstance(newest, OrderPorts)
    assert (newest.node, newest.by, newest.terms.hook) == ("a", RungKind.HELPER, None), (
        "it is still to be stopped"
    )
    record = scene.state.ports_of("a")
    assert record is not None
    assert not record.closed


def test_what_the_daemon_beside_a_node_says_too_late_counts_no_more() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    while [way for way, _ in ways(scene, "a")] != ["ask", "helper"]:
        scene.run(1)
    asked = next(order for order in scene.sent if isinstance(order.action, OrderPorts))
    scene.outcomes = [Outcome(asked.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.USERS)]
    scene.run(1)
    assert (opened(scene), scene.phase("b")) == ([], Phase.STANDBY)
    assert "a is not known to be stopped (ask: no answer in time; helper: no answer yet)" in (
        scene.look().waits_for
    )


def test_who_serves_is_stopped_by_the_daemon_beside_it_for_a_switchover_too() -> None:
    """Its hook, and whatever opens, goes straight to the helper."""
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(60)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    ordered = [(a.node, a.by.value, a.terms.hook) for a in scene.actions() if isinstance(a, OrderPorts)]
    assert ordered == [
        ("a", "ask", None), ("a", "helper", Hook.DEMOTE), ("b", "helper", Hook.PROMOTE),
    ]  # fmt: skip


def test_power_that_is_not_read_back_off_confirms_nothing() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.run(200)
    assert opened(scene) == []


def test_who_was_switched_off_is_noted_and_the_gate_that_holds_it_says_so() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert last(scene) == (Kind.FAILOVER, Ending.DONE)
    noted = "a was switched off, read back off"
    assert (scene.state.ended[-1].operation.notes, scene.state.ended[-1].detail) == ((noted,), noted)
    found = scene.finding("fence", "a")
    assert found.answer is Answered.NO
    assert found.reason.startswith("mailward switched it off, read back off")
    scene.facts["a"] = facts("a")
    scene.run(1)
    assert "switched it off" not in scene.finding("fence", "a").reason


def test_who_is_not_read_back_off_is_not_noted_as_switched_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.FAILED})
    scene.run(20)
    assert scene.state.operation is not None
    assert scene.state.operation.notes == ()
    assert "switched it off" not in scene.finding("takeover", "a").reason


def test_who_is_read_back_off_when_no_operation_runs_is_off_all_the_same() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": None})
    scene.run(5)
    (order,) = scene.state.orders
    scene.state = replace(scene.state, operation=None)
    scene.outcomes = [Outcome(order.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.POWER)]
    scene.step()
    power = scene.state.power_of("a")
    assert power is not None
    assert power.off is FenceOutcome.CONFIRMED


def test_who_was_switched_off_and_answers_again_is_not_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "order-ports:b": None})
    scene.run(5)
    assert phases(scene)["b"] is Phase.PROMOTING
    scene.facts["a"] = facts("a")  # its services do not, yet
    scene.run(1)
    assert scene.state.operation is not None
    assert "a may serve again" in scene.state.operation.notes


def test_nobody_is_stopped_while_nobody_can_take_over() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.down("b")
    scene.down("a", for_s=31)
    scene.run(120)
    assert scene.state.operation is None
    assert scene.actions() == []
    assert "b is failed" in scene.finding("heir", "a").reason


def test_who_serves_again_before_it_was_stopped_keeps_serving() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    scene.answers.clear()
    scene.back("a")
    scene.sent.clear()
    scene.run(60)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    orders = [action.node for action in scene.actions() if isinstance(action, OrderPorts)]
    assert orders == opened(scene) == ["a"]  # what was sent may yet close it: a higher token opens it again
    assert [e.ending for e in scene.state.ended if e.operation.kind is Kind.FAILOVER] == [Ending.ROLLED_BACK]


@pytest.mark.parametrize(
    ("loss", "lag_s", "promoted"),
    [
        (Loss.BALANCED, 0.0, True),
        (Loss.BALANCED, 500.0, False),
        (Loss.BALANCED, None, False),
        (Loss.AVAILABILITY, 500.0, True),
        (Loss.AVAILABILITY, None, False),
        (Loss.LOSSLESS, 0.0, True),
        (Loss.LOSSLESS, 3.0, False),
    ],
)
def test_what_may_be_lost_decides_whether_anybody_is_promoted(
    loss: Loss, lag_s: float | None, promoted: bool
) -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=loss)))
    scene.lag("a", "b", lag_s)
    scene.down("a", for_s=31)
    scene.run(40)
    assert (scene.phase("b") is Phase.IN_SERVICE) is promoted
    running = scene.state.operation
    if not promoted and running is None:
        assert "mailward failover a --force" in scene.finding("heir", "a").command
    elif not promoted:
        assert "more than 0 s (lossless)" in scene.look().waits_for


def test_a_persons_word_lets_it_go_on_once() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    running = scene.state.operation
    assert running is not None
    scene.vouch("a", "another")
    scene.run(2)
    scene.vouch("a", running.id)
    scene.run(20)
    assert [answer.accepted for answer in scene.state.answers] == [False, True]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert "ann: because vouches that a is stopped" in scene.state.ended[-1].operation.notes
    scene.vouch("a", running.id)
    scene.run(2)
    assert [answer.accepted for answer in scene.state.answers] == [False, True, False]


def test_who_does_not_answer_from_outside_is_stopped_and_the_next_is_tried() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.down("a", for_s=31)
    scene.looked_at_behind = ("b",)
    scene.run(80)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.STANDBY, "c": Phase.IN_SERVICE}
    assert [e.operation.failed for e in scene.state.ended if e.operation.kind is Kind.FAILOVER] == [("b",)]
    assert opened(scene) == ["b", "c"]
    assert published(scene) == [("192.0.2.12",)]


def test_the_one_with_the_highest_priority_is_promoted() -> None:
    policy = cluster_of(("a", "b", "c"))
    nodes = tuple(replace(n, priority=int(n.name == "c")) for n in policy.nodes)
    scene = Scene.of_a_cluster(replace(policy, nodes=nodes))
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("c") is Phase.IN_SERVICE


def test_where_nobody_else_can_be_the_old_one_is_opened_again() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.FAILED
    scene.run(30)
    scene.back("a")
    scene.answers["order-ports:b"] = Result.DONE
    scene.down("b")
    scene.run(200)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_who_comes_back_stands_by() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.back("a", for_s=60)
    scene.run(60)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    assert last(scene) == (Kind.READMIT, Ending.DONE)


def test_a_switchover_waits_for_all_mail_and_leaves_a_standby() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(20)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CATCH_UP]
    assert opened(scene) == []
    scene.lag("a", "b", 0.0)
    scene.run(20)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    assert last(scene) == (Kind.SWITCHOVER, Ending.DONE)
    assert published(scene) == [("192.0.2.11",)]


def test_a_switchover_that_cannot_catch_up_goes_back() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(catch_up_wait_s=20)))
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(60)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    assert last(scene) == (Kind.SWITCHOVER, Ending.ROLLED_BACK)
    assert opened(scene) == ["a"]


def test_a_switchover_whose_target_does_not_serve_stops_it_before_the_source_is_opened() -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(200)
    assert scene.phase("a") is Phase.IN_SERVICE
    orders = [
        (a.node, next(iter(a.ports.values())).kind) for a in scene.actions() if isinstance(a, OrderPorts)
    ]
    assert list(dict.fromkeys(orders)) == [
        ("a", PortKind.CLOSED), ("b", PortKind.OPEN), ("b", PortKind.CLOSED), ("a", PortKind.OPEN),
    ]  # fmt: skip


def test_a_switchover_becomes_a_failover_when_its_source_fails() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.down("a", for_s=31)
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert [e.operation.kind for e in scene.state.ended][-2:] == [Kind.SWITCHOVER, Kind.FAILOVER]


def test_a_switchover_to_one_that_is_not_fit_is_refused_with_the_reason() -> None:
    scene = Scene.of_a_cluster()
    scene.down("b")
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(12)
    assert not scene.state.answers[-1].accepted
    assert "b is failed" in scene.state.answers[-1].detail
    assert scene.actions() == []


def test_a_failover_by_hand_keeps_the_old_one_out() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert record.cause is Cause.OPERATOR


def test_a_standby_is_drained_and_comes_back() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(5)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.OUT}
    scene.ask(RequestKind.READMIT, "b")
    scene.run(5)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}


def test_a_new_leader_goes_on_from_any_step() -> None:
    for steps in range(1, 14):
        scene = Scene.of_a_cluster()
        scene.down("a", for_s=31)
        for _ in range(steps):
            scene.step()
        scene.restarted()
        scene.run(30)
        assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


def test_who_is_closed_when_it_is_said_to_serve_is_opened_and_not_taken_over() -> None:
    """As after `state init --active`: clients have found it closed for long, and nobody has tried it yet."""
    scene = Scene.of_a_cluster()
    scene.state = State(STORE, 0, phases=scene.state.phases)
    scene.state = replace(scene.state, phases=tuple(replace(r, since=scene.now) for r in scene.state.phases))
    scene.epoch += 1
    scene.down("a", for_s=300)
    scene.facts["a"] = replace(facts("a"), applied=False, token=Token(STORE, 1, 1))
    scene.run(20)
    assert scene.finding("takeover", "a").reason == "its client ports are closed by us, and are being opened"
    assert opened(scene)[:1] == ["a"]
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE  # it does not serve all the same


@pytest.mark.parametrize("helper", ["obeys", "fails"])
def test_who_closed_by_itself_is_opened_before_it_is_taken_over(helper: str) -> None:
    """As after a reboot that took longer than a takeover waits, with nobody to act meanwhile."""
    scene = Scene.of_a_cluster()
    scene.run(300)
    if helper == "fails":
        scene.answers["order-ports:a"] = Result.FAILED
    scene.down("a", for_s=60)
    scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
    scene.step()
    assert scene.state.operation is not None
    assert scene.state.operation.kind is Kind.RECONCILE
    scene.step()
    if helper == "obeys":
        scene.back("a")
        scene.facts["a"] = replace(facts("a"), token=scene.state.helper("a").sent.newest)
    scene.run(60)
    assert (scene.phase("a") is Phase.IN_SERVICE) is (helper == "obeys")


def tried(scene: Scene, at_s: float) -> None:
    """Its services were last tried then, in vain."""
    for service in scene.policy.services:
        seen = scene.seen["a", service.name]
        scene.seen["a", service.name] = replace(seen, answered_s=at_s)


@pytest.mark.parametrize("then", ["it does not answer", "nobody tries it"])
def test_who_was_just_opened_again_is_tried_before_it_is_taken_over(then: str) -> None:
    """After a reboot: that clients found it closed for so long is of before."""
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    tried(scene, scene.now_s)
    scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
    scene.run(2)
    assert opened(scene) == ["a"]
    scene.facts["a"] = replace(facts("a"), token=scene.state.helper("a").claimed)
    scene.run(20)
    assert "nobody has tried them yet" in scene.finding("takeover", "a").reason
    assert (scene.phase("a"), scene.phase("b")) == (Phase.IN_SERVICE, Phase.STANDBY)
    if then == "it does not answer":
        tried(scene, scene.now_s)
        scene.run(2)
        assert scene.phase("a") is not Phase.IN_SERVICE
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_who_may_yet_be_switched_off_is_not_given_back_nor_promoted() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.run(5)
    scene.back("a")
    scene.sent.clear()
    scene.run(20)
    assert scene.phase("a") is Phase.DEMOTING
    scene.run(40)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def test_a_figure_from_before_it_was_closed_grows_with_its_age() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=Loss.LOSSLESS, rescue_s=5)))
    scene.down("a", for_s=31)
    scene.lags["a", "b"] = replace(scene.lags["a", "b"], age_s=3600.0)
    scene.run(20)
    assert scene.phase("b") is Phase.STANDBY


def test_a_standby_that_has_not_answered_since_is_not_promoted() -> None:
    """What silences both may be our own fault, and the verdict of one has only not turned yet."""
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    for service in scene.policy.services:
        scene.seen["b", service.name] = Seen(answered_s=scene.now_s - 60)
    scene.run(1)
    assert scene.state.operation is None
    assert "b has not answered since a failed" in scene.finding("heir", "a").reason


def test_a_source_that_is_opened_by_hand_while_its_mail_is_waited_for_is_stopped_again() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.sent.clear()
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(0.5)
    assert [(a.kind, getattr(a, "node", "")) for a in scene.actions()][:1] == [("order-ports", "a")]
    assert opened(scene) == []


def test_who_is_not_known_to_be_stopped_is_not_opened_again_by_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    scene.down("b")
    scene.up("a")
    scene.looked_at_behind = ("a",)
    scene.sent.clear()
    scene.run(30)
    assert opened(scene) == []


def test_a_word_said_under_another_leader_does_not_count() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.restarted()
    scene.run(2)
    assert [answer.detail for answer in scene.state.answers] == [
        "another daemon leads since it was said: look again, and say it again"
    ]
    assert opened(scene) == []


def test_a_word_counts_whatever_the_clock_of_the_host_says_on_which_it_was_typed() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert scene.state.operation is not None
    word = scene.vouch("a", scene.state.operation.id)
    scene.requests = [replace(word, at=replace(word.at, boot_id="another", wall_s=word.at.wall_s - 7200))]
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


@pytest.mark.parametrize("silent", [True, False])
def test_a_word_is_over_when_the_helper_answers_after_another_boot(silent: bool) -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=Loss.LOSSLESS, rescue_s=0)))
    scene.lag("a", "b", 3.0)
    scene.down("a", for_s=31)
    scene.facts["a"] = None if silent else facts("a")
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(20)
    assert [each.step for each in [scene.state.operation] if each] == [Step.RESCUE]
    scene.facts["a"] = replace(facts("a"), boot_id="another")
    scene.answers.clear()
    scene.sent.clear()
    scene.run(1)
    assert ("order-ports", "a") in [(a.kind, getattr(a, "node", "")) for a in scene.actions()]


def test_a_failover_that_waits_for_mail_goes_on_when_a_person_insists() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=Loss.LOSSLESS, rescue_s=0)))
    scene.lag("a", "b", 3.0)
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.STANDBY
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_nobody_serves_before_somebody_is_said_to() -> None:
    scene = Scene(cluster_of())
    scene.run(30)
    assert scene.state.phases == ()
    assert scene.look().waits_for == "nobody has said which node serves: mailward state init --active NODE"


def test_a_node_new_in_the_configuration_comes_to_stand_by() -> None:
    scene = Scene.of_a_cluster()
    wider = cluster_of(("a", "b", "c"))
    scene.policy = wider
    scene.facts["c"] = facts("c")
    for pair in (("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")):
        scene.lag(*pair, 0.0)
    scene.run(40)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY, "c": Phase.STANDBY}


def test_who_is_promoted_and_reboots_before_it_is_published_is_opened_again_first() -> None:
    scene = Scene.of_a_cluster()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", for_s=31)
    scene.run(5)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.down("b")
    scene.facts["b"] = replace(facts("b"), applied=False)
    scene.answers.clear()
    scene.sent.clear()
    scene.step()
    assert published(scene) == []
    scene.settle()
    scene.facts["b"] = facts("b")
    scene.run(2)
    assert opened(scene) == ["b"]
    assert published(scene) == []
    scene.back("b", for_s=5)
    scene.run(5)
    assert published(scene) == [("192.0.2.11",)]


@pytest.mark.parametrize("how", ["off", "closed"])
def test_who_was_stopped_and_is_cut_off_after_it_was_opened_does_not_count_as_stopped(how: str) -> None:
    """What was seen to be over is recorded: who leads next has not seen it."""
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    if how == "off":
        scene.gone("a", for_s=31)
        scene.answers["order-ports:a"] = Result.UNKNOWN
    else:
        scene.down("a", for_s=31)
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    scene.back("a")
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(2)
    scene.gone("a")
    scene.restarted()
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.ask(RequestKind.FAILOVER, "b", force=True)
    scene.run(20)
    situation = replace(core._situation(scene.snapshot()), state=scene.state)
    assert ladder.stopped(situation, "a") == ""


def test_who_has_never_obeyed_may_boot_open_so_automation_stops_nobody_and_a_person_may() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    helpers = scene.state.helpers
    scene.gone("a", for_s=31)
    scene.state = replace(scene.state, helpers=tuple(h for h in helpers if h.node != "a"))
    scene.run(20)
    assert scene.holding("a") == ["obeyed"]
    assert scene.finding("obeyed", "a").reason == (
        "a may boot with open ports: its mailward-node is not known to have obeyed anything"
    )
    scene.facts["a"] = facts("a")
    assert scene.holding("a") == ["obeyed"]
    scene.facts["a"] = replace(facts("a"), token=Token(STORE, 1, 1))
    assert "obeyed" not in scene.holding("a")
    scene.facts["a"] = None
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


# what a hostile reading found


def test_while_automation_only_observes_nothing_is_closed_nor_published() -> None:
    scene = Scene(cluster_of(automation=Automation.OBSERVE))
    scene.state = replace(Scene.of_a_cluster().state, ports=(), targets=(), helpers=(), ended=())
    scene.run(60)
    assert scene.actions() == []


def test_a_switchover_does_not_give_back_while_its_target_may_be_open() -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    assert scene.phase("b") is Phase.PROMOTING
    scene.answers.update({"order-ports:b": Result.UNKNOWN, "order-ports:a": Result.UNKNOWN})
    scene.facts["a"] = replace(facts("a"), applied=False)
    scene.sent.clear()
    scene.run(200)
    assert opened(scene) == []
    assert scene.phase("a") is not Phase.IN_SERVICE


def test_who_is_said_to_serve_is_opened_when_the_others_are_closed() -> None:
    """Right after `state init --active`, with a store of its own and closed ports from before."""
    scene = Scene.of_a_cluster()
    scene.state = State(STORE, 0, phases=scene.state.phases)
    scene.epoch += 1
    scene.facts["a"] = replace(facts("a"), applied=False, token=Token(STORE, 1, 1))
    scene.run(20)
    orders = [
        (a.node, next(iter(a.ports.values())).kind) for a in scene.actions() if isinstance(a, OrderPorts)
    ]
    assert orders[:2] == [("b", PortKind.CLOSED), ("a", PortKind.OPEN)]


def test_the_one_that_serves_is_stopped_last() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    record = scene.state.ports_of("c")
    assert record is not None
    others = tuple(each for each in scene.state.ports if each.node != "c")
    scene.state = replace(scene.state, ports=(*others, replace(record, fence=FenceOutcome.UNKNOWN)))
    scene.facts["c"] = None
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.down("a", "smtp", for_s=31)
    scene.run(60)
    assert {a.node for a in scene.actions() if isinstance(a, OrderPorts)} == {"c"}


def test_planned_work_switches_nobody_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(120)
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def test_a_switchover_whose_source_falls_silent_becomes_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.unknown("a")
    scene.facts["a"] = None
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_an_endpoint_that_is_new_while_service_moves_waits() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    endpoint = scene.policy.endpoints[0]
    more = (endpoint, replace(endpoint, name="new.example.test"))
    scene.policy = replace(cluster_of(endpoints=more), digest=scene.policy.digest)
    scene.run(5)
    scene.answers.clear()
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert scene.phase("b", "new.example.test") is Phase.IN_SERVICE


def test_where_nobody_is_in_service_a_person_says_who_is_to_be() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.policy = cluster_of(("b", "c"))
    scene.run(20)
    assert {scene.phase("b"), scene.phase("c")} == {Phase.STANDBY}
    scene.ask(RequestKind.SWITCHOVER, "c")
    scene.run(20)
    assert (scene.phase("b"), scene.phase("c")) == (Phase.STANDBY, Phase.IN_SERVICE)


def test_a_store_in_which_several_serve_is_not_acted_upon() -> None:
    scene = Scene.settled()
    scene.policy = cluster_of()
    scene.sent.clear()
    scene.down("a", for_s=60)
    scene.run(60)
    assert scene.actions() == []


def test_a_word_against_what_everybody_sees_is_refused() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(2)
    assert scene.state.answers[-1].detail == "a answers its clients: it is not stopped"


def test_the_active_that_reboots_is_opened_though_a_standby_is_catching_up_and_in_a_pause() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.lag("a", "b", None)
    scene.back("a", for_s=60)
    scene.run(5)
    assert [each.kind for each in [scene.state.operation] if each] == [Kind.READMIT]
    scene.paused()
    scene.down("b")
    scene.facts["b"] = replace(facts("b"), applied=False, token=scene.state.helper("b").claimed)
    scene.sent.clear()
    scene.run(3)
    assert opened(scene)[:1] == ["b"]


def test_who_was_promoted_and_is_lost_is_left_in_its_turn_with_its_own_mail() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.answers["verify"] = Result.FAILED
    scene.down("a", for_s=31)
    scene.run(5)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.lag("b", "c", None)
    scene.down("b")
    scene.facts["b"] = replace(facts("b"), applied=False, token=Token(STORE, 1, 1))
    scene.answers["order-ports:b"] = Result.FAILED
    scene.run(200)
    assert scene.phase("c") is not Phase.IN_SERVICE
