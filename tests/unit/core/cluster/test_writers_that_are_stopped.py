"""Where nodes share a store (`fence_scope: writes`): what writes is stopped as well, so a standby's services
do not answer, and its helper's word is all there is."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import LADDER, SERVICES, Scene, cluster_of, facts, opened, phases

from mailward.model.fencing import CLOSED, OPEN, NodeFacts, Scope, Space
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Rules
from mailward.model.state import Phase


def test_where_nodes_share_a_store_the_writers_of_a_closed_node_are_stopped_as_well() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(fence_scope=Scope.WRITES)))
    scene.down("a", for_s=31)
    scene.run(5)
    orders = [a for a in scene.actions() if isinstance(a, OrderPorts)]
    assert {(a.node, a.terms.stop) for a in orders} == {("a", True)}
    assert opened(scene) == []  # its client ports alone were closed, as the answers say


def test_a_fence_of_enough_scope_lets_it_go_on() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(fence_scope=Scope.WRITES), rungs=LADDER))
    scene.scope = Scope.WRITES
    scene.down("a", for_s=31)
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert [a.terms.stop for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "b"][-1] is False


def idle(node: str) -> NodeFacts:
    """Of one whose writers are stopped, as ordered, and what serves clients with them."""
    return replace(facts(node), stopped=True, ports=dict.fromkeys((s.name for s in SERVICES), CLOSED))


def sharing() -> Scene:
    """`a` serves, `b` stands by; its services answer nobody while it does."""
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(fence_scope=Scope.WRITES), rungs=LADDER))
    scene.scope = Scope.WRITES
    scene.down("b", for_s=1000)
    scene.facts["b"] = idle("b")
    return scene


def test_whose_writers_are_stopped_as_ordered_stands_by_and_may_take_over() -> None:
    scene = sharing()
    scene.run(20)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    scene.down("a", for_s=31)
    scene.run(3)
    assert opened(scene) == ["b"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (replace(idle("b"), stopped=False), "DOWN"),
        (replace(idle("b"), stopped=None), "DOWN"),
        (replace(idle("b"), ports=dict.fromkeys((s.name for s in SERVICES), OPEN)), "DOWN"),
        (replace(idle("b"), paths={"/var/mail": Space(0, 10**9, 10**6, 10**6)}), "0 MiB free"),
        (None, "DOWN"),
    ],
)  # fmt: skip
def test_only_what_its_helper_says_excuses_services_that_do_not_answer(
    said: NodeFacts | None, why: str
) -> None:
    scene = sharing()
    scene.facts["b"] = said
    scene.down("a", for_s=31)
    assert why in scene.finding("heir", "a").reason


def test_the_one_that_was_stopped_is_the_last_to_be_opened_where_nobody_can_tell_whether_it_is_well() -> None:
    scene = sharing()
    scene.down("a", for_s=31)
    scene.step()
    scene.facts["a"] = idle("a")
    scene.answers["order-ports:b"] = Result.FAILED
    scene.run(90)
    assert opened(scene)[0] == "b"
    assert "a" in opened(scene)


def test_what_silences_who_serves_does_not_silence_the_helper_of_who_is_stopped() -> None:
    scene = sharing()
    scene.gone("a", for_s=31)
    assert scene.finding("heir", "a").reason == "b can take over"
