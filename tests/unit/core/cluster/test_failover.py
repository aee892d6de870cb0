"""A failover in a cluster: nothing is opened before every other node is known to be stopped, DNS changes when
the new one serves, and where that cannot be, nothing is promoted."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import (
    LADDER,
    STORE,
    Scene,
    Seen,
    cluster_of,
    facts,
    last_ended,
    opened,
    phases,
    published,
)

from mailward.controller.core import decide as core
from mailward.controller.core.cluster.succession import moving
from mailward.controller.core.draft import Draft
from mailward.model.fencing import OPEN, FenceOutcome, PortKind
from mailward.model.orders import KickReplication, OrderPorts, Publish, Result
from mailward.model.policy import Automation, Loss, Rules
from mailward.model.state import Cause, Ending, Kind, Phase, RequestKind, Step
from mailward.model.token import Token


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
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)
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


def test_nobody_is_stopped_while_nobody_can_take_over() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.down("b")
    scene.down("a", for_s=31)
    scene.run(120)
    assert scene.state.operation is None
    assert scene.actions() == []
    assert "b is failed" in scene.finding("heir", "a").reason


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


def test_who_comes_back_stands_by() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.back("a", for_s=60)
    scene.run(60)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    assert last_ended(scene) == (Kind.READMIT, Ending.DONE)


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


def test_while_automation_only_observes_nothing_is_closed_nor_published() -> None:
    scene = Scene(cluster_of(automation=Automation.OBSERVE))
    scene.state = replace(Scene.of_a_cluster().state, ports=(), targets=(), helpers=(), ended=())
    scene.run(60)
    assert scene.actions() == []


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


def test_a_store_in_which_several_serve_is_not_acted_upon() -> None:
    scene = Scene.settled()
    scene.policy = cluster_of()
    scene.sent.clear()
    scene.down("a", for_s=60)
    scene.run(60)
    assert scene.actions() == []


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


def test_mail_is_not_waited_for_of_a_silent_node_that_was_opened_again_meanwhile() -> None:
    """What it confirmed last was to open: since then it has been stopped some other way."""
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(rescue_s=60.0)))
    scene.lag("a", "b", 5.0)
    scene.down("a", for_s=31)
    scene.run(3)
    assert scene.state.operation is not None
    assert scene.state.operation.step is Step.RESCUE
    record = scene.state.ports_of("a")
    assert record is not None
    scene.facts["a"] = None
    draft = Draft(core._situation(scene.snapshot()))
    assert moving._reachable(draft, "a")
    open_again = replace(record, ports=dict.fromkeys(record.ports, OPEN))
    draft.put_ports(open_again)
    assert not moving._reachable(draft, "a")


@pytest.mark.parametrize(("waits_s", "kicked"), [(0.0, set()), (5.0, {"a"})])
def test_at_last_whoever_has_mail_that_waits_is_kicked(waits_s: float, kicked: set[str]) -> None:
    """What hangs there is in the queue when the way is free again; who has nothing more to give is let be."""
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(rescue_s=60.0)))
    scene.lag("a", "b", waits_s)
    scene.down("a", for_s=31)
    scene.run(3)
    assert {action.node for action in scene.actions() if isinstance(action, KickReplication)} == kicked


def test_what_is_taken_up_again_and_again_keeps_one_reason() -> None:
    scene = Scene.of_a_cluster()
    scene.run(61)
    source, standby = (scene.state.phases_of(node)[0] for node in ("a", "b"))
    left = replace(source, phase=Phase.DEMOTING, cause=Cause.SERVICE, detail="nobody serves: it has crashed")
    scene.state = replace(scene.state, phases=(left, standby))
    scene.down("a", for_s=31)
    scene.run(30)
    moved = [e.operation for e in scene.state.ended if e.operation.kind is Kind.FAILOVER]
    assert [each.reason for each in moved] == ["nobody serves: it has crashed"]
