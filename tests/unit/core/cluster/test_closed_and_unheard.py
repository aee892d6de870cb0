"""A source that is closed, and nobody knows it for certain: the leader was lost before it heard of its
order, or the node has booted closed, or its lease has run out. Nobody reaches it, so to close it for certain
costs nothing; then it is looked at behind its ports, and may serve again where nobody else can."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import SERVICES, Scene, cluster_of, facts

from mailward.model.fencing import BOOTS_CLOSED, CLOSED, OPEN, FenceOutcome, NodeFacts
from mailward.model.orders import OrderPorts
from mailward.model.policy import Rules
from mailward.model.state import Kind, Phase, RequestKind


def shut(how: str) -> NodeFacts:
    """What a helper says whose node nobody reaches."""
    ordered = OPEN if how in ("since its boot", "by its lease") else CLOSED
    ports = dict.fromkeys((service.name for service in SERVICES), ordered)
    told = replace(facts("a"), ports=ports)
    if how == "by its lease":
        return replace(told, lease_s=12.0, lease_left_s=0)
    return replace(told, applied=how != "since its boot", boot=BOOTS_CLOSED)


def struck(kind: Kind, how: str) -> Scene:
    """The leader is lost at the first step, when `a` is shut, and nobody has heard of it; then `b` fails."""
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(takeover_after_s=5.0)))
    scene.answers["order-ports:a"] = None
    if kind is Kind.SWITCHOVER:
        scene.ask(RequestKind.SWITCHOVER, "b")
    else:
        scene.down("a", for_s=31)
    scene.run(2)
    scene.down("a", "submission", "imaps")  # nodes give each other their mail all the same
    scene.down("b")
    scene.facts["a"] = shut(how)
    scene.answers.clear()
    scene.restarted()
    scene.sent.clear()
    scene.run(10)
    return scene


@pytest.mark.parametrize("kind", [Kind.SWITCHOVER, Kind.FAILOVER])
@pytest.mark.parametrize("how", ["by an order", "since its boot", "by its lease"])
def test_it_is_closed_for_certain_and_serves_again_if_well_behind_its_ports(kind: Kind, how: str) -> None:
    scene = struck(kind, how)
    assert {a.node for a in scene.actions() if isinstance(a, OrderPorts)} == {"a"}
    assert scene.phase("a") is Phase.DEMOTING
    scene.facts["a"] = shut("by an order")
    scene.up("a")
    scene.run(20)
    scene.back("a")
    scene.run(60)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.state.operation is None


def test_whom_root_has_closed_is_left_as_root_wants_it() -> None:
    """Nobody has ordered that: another one is stopped first, and does not answer."""
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c"), rules=Rules(takeover_after_s=5.0)))
    unknown = [replace(r, fence=FenceOutcome.UNKNOWN) if r.node == "c" else r for r in scene.state.ports]
    scene.state = replace(scene.state, ports=tuple(unknown))
    scene.facts["c"] = None
    scene.answers["order-ports:c"] = None
    scene.down("a", for_s=31)
    scene.run(3)
    assert scene.state.operation is not None
    scene.facts["a"] = shut("by an order")
    scene.down("b")
    scene.run(20)
    assert {a.node for a in scene.actions() if isinstance(a, OrderPorts)} == {"c"}


@pytest.mark.parametrize("applied", [True, None])
def test_who_may_still_serve_somebody_is_not_closed_while_nobody_can_take_over(applied: bool | None) -> None:
    scene = Scene.of_a_cluster()
    scene.answers["order-ports:a"] = None
    scene.down("a", "smtp", for_s=31)
    scene.run(1)
    scene.down("b")
    scene.facts["a"] = replace(shut("since its boot"), applied=applied)
    scene.answers.clear()
    scene.restarted()
    scene.sent.clear()
    scene.run(20)
    assert [a for a in scene.actions() if isinstance(a, OrderPorts)] == []
