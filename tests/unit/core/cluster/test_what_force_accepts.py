"""`--force` in a cluster accepts what was shown: one candidate, and what that lacked when it was asked for,
with what its age adds. More than that, or another candidate, is held again, and said."""

import pytest
from tests.unit.core.scene import Scene, cluster_of

from mailward.model.fencing import PortKind
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Loss, Policy, Rules
from mailward.model.state import Kind, Phase, RequestKind, Step

THREE = ("a", "b", "c")


def lossless(names: tuple[str, ...] = ("a", "b")) -> Policy:
    return cluster_of(names, rules=Rules(loss=Loss.LOSSLESS, rescue_s=0))


def opened(scene: Scene) -> list[str]:
    orders = [action for action in scene.actions() if isinstance(action, OrderPorts)]
    return [o.node for o in orders if next(iter(o.ports.values())).kind is PortKind.OPEN]


def behind(scene: Scene, **seconds: float | None) -> None:
    for name, lag_s in seconds.items():
        scene.lag("a", name, lag_s)


def test_what_is_held_says_who_is_promoted_by_force_and_what_it_lacks() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    behind(scene, b=900.0, c=500.0)
    scene.down("a", for_s=31)
    scene.run(3)
    heir = scene.finding("heir", "a")
    assert "b may lack up to 900 s of the mail of a, more than 300 s (balanced)" in heir.reason
    assert heir.reason.endswith("With --force c is promoted, whatever it lacks now")
    assert heir.command == "mailward failover a --force"


def test_what_was_accepted_is_recorded_and_told() -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=500.0)
    scene.down("a", for_s=31)
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    assert operation.accepts is not None
    assert (operation.accepts.node, operation.accepts.seconds) == ("b", 500.0)
    accepted = "b may be promoted though it may lack up to 500 s of the mail of a"
    assert scene.state.answers[-1].detail == f"failover {operation.id} started; {accepted}"
    assert f"by hand: {accepted}" in operation.notes
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


@pytest.mark.parametrize(("later_s", "promoted"), [(510.0, True), (700.0, False), (None, False)])
def test_it_counts_up_to_that_amount_and_what_its_age_adds(later_s: float | None, promoted: bool) -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=500.0)
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(20)
    behind(scene, b=later_s)
    scene.answers.clear()
    scene.run(60)
    assert (scene.phase("b") is Phase.IN_SERVICE) is promoted
    if not promoted:
        held = scene.look().waits_for
        assert "Accepted was b without up to 500 s" in held
        assert held.endswith("To promote b all the same: mailward failover a --force")
        scene.ask(RequestKind.FAILOVER, "a", force=True)
        scene.run(30)
        assert scene.phase("b") is Phase.IN_SERVICE


def test_where_nobody_knew_how_much_all_of_that_candidate_is_accepted() -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=None)
    scene.down("a", for_s=31)
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.step()
    assert scene.state.answers[-1].detail.endswith("may lack an unknown amount of the mail of a")
    behind(scene, b=9000.0)
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_it_is_not_for_the_next_candidate() -> None:
    scene = Scene.of_a_cluster(lossless(THREE))
    behind(scene, b=3.0, c=3.0)
    scene.down("a", for_s=31)
    scene.run(5)
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(3)
    scene.down("b")
    scene.looked_at_behind = ()
    scene.run(20)
    assert opened(scene) == ["b"]
    held = scene.look().waits_for
    assert "c may lack up to 3 s" in held
    assert "Accepted was b without up to 3 s" in held
    assert "To promote c all the same" in held


def test_who_needs_no_force_is_promoted_though_another_would_come_first() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    behind(scene, b=900.0)
    scene.down("a", for_s=31)
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(20)
    assert opened(scene) == ["c"]


def test_a_switchover_by_force_is_for_its_target_and_what_that_lacks() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(catch_up_wait_s=20)))
    behind(scene, b=30.0)
    scene.ask(RequestKind.SWITCHOVER, "b", force=True)
    scene.step()
    assert "b may be promoted though it may lack up to 30 s" in scene.state.answers[-1].detail
    behind(scene, b=200.0)
    scene.run(3)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CATCH_UP]
    assert opened(scene) == []
    scene.run(60)
    assert scene.phase("a") is Phase.IN_SERVICE
    behind(scene, b=30.0)
    scene.ask(RequestKind.SWITCHOVER, "b", force=True)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert scene.state.ended[-1].operation.kind is Kind.SWITCHOVER


def test_a_switchover_by_force_is_not_for_who_would_be_best() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    behind(scene, b=0.0, c=30.0)
    scene.ask(RequestKind.SWITCHOVER, "c", force=True)
    scene.run(20)
    assert scene.phase("c") is Phase.IN_SERVICE


def test_without_force_nothing_is_accepted() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.step()
    assert scene.state.operation is not None
    assert scene.state.operation.accepts is None
    assert scene.state.answers[-1].detail == f"failover {scene.state.operation.id} started"


def test_it_is_over_with_the_operation_that_it_was_for() -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=3.0)
    scene.ask(RequestKind.SWITCHOVER, "b", force=True)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.step()
    behind(scene, b=900.0)
    scene.gone("a", for_s=60)
    scene.run(60)
    operation = scene.state.operation
    assert operation is not None
    assert (operation.kind, operation.accepts) == (Kind.FAILOVER, None)


def test_a_lag_that_nobody_knows_is_waited_for_a_moment_before_a_request_is_refused() -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=None)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    assert scene.state.answers == ()
    behind(scene, b=0.0)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_leader_on_a_host_whose_clock_is_ahead_accepts_no_more() -> None:
    scene = Scene.of_a_cluster()
    behind(scene, b=500.0)
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(5)
    scene.restarted()
    scene.boot_id, scene.ahead_s = "boot-2", 7200.0
    behind(scene, b=700.0)
    scene.answers.clear()
    scene.run(30)
    assert opened(scene) == []
