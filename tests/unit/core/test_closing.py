"""I2: nobody is closed whom alone the name servers may name, but what fails is not kept open for ever.

Two updates in a row were lost or late: the zone named a alone, nobody remembered it, and a was closed.
"""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, kinds, policy_of

from mailward.model.dns import RRset, in_common
from mailward.model.fencing import CLOSED
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Endpoint
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def nobody_knows_what_is_published() -> Scene:
    """A drain of b was rolled back since a failed for a moment; what came of its updates is unknown."""
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.ask(RequestKind.DRAIN, "b")
    scene.step()
    scene.down("a", "imaps")
    scene.settle()
    assert [scene.phase(node) for node in "ab"] == [Phase.IN_SERVICE, Phase.IN_SERVICE]
    scene.up("a")
    scene.answers["publish"] = Result.UNKNOWN
    scene.run(75)
    assert scene.state.operation is None or scene.state.operation.kind is Kind.RECONCILE
    surely = [value for rrset in scene.state.target("ns1").surely for value in rrset.values]
    assert surely == ["192.0.2.10", "2001:db8::10"], "it names a, and b perhaps"
    scene.sent.clear()
    return scene


def closed(scene: Scene, node: str) -> bool:
    orders = [a for a in scene.actions() if isinstance(a, OrderPorts) and a.node == node]
    return any(state == CLOSED for order in orders for state in order.ports.values())


def at_its_fence(scene: Scene) -> bool:
    return scene.state.operation is not None and scene.state.operation.step is Step.FENCE


def test_a_failed_node_stays_open_while_it_may_be_the_only_one_named_but_not_for_ever() -> None:
    scene = nobody_knows_what_is_published()
    scene.down("a", "imaps", for_s=5)
    scene.run(9)
    assert scene.phase("a") is Phase.OUT
    assert kinds(scene.actions()).count("publish") > 2, "it is tried again meanwhile"
    assert not closed(scene, "a")
    scene.run(2)
    assert closed(scene, "a")


def test_a_failed_node_waits_for_a_second_try_however_long_the_first_takes() -> None:
    scene = nobody_knows_what_is_published()
    scene.answers["publish"] = None
    scene.run(20)
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    assert kinds(scene.actions()).count("publish") == 1
    assert not closed(scene, "a")
    scene.run(3)
    assert kinds(scene.actions())[:3] == ["publish", "publish", "order-ports"]
    assert closed(scene, "a")


def test_a_failed_node_is_closed_as_soon_as_another_is_named() -> None:
    scene = nobody_knows_what_is_published()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    assert not closed(scene, "a")
    scene.answers.clear()
    scene.run(5)
    assert kinds(scene.actions())[-3:] == ["publish", "order-ports", "verify"]
    assert closed(scene, "a")


def test_a_name_server_that_is_gone_for_good_keeps_a_failed_node_open_for_seconds_only() -> None:
    """The other one took the update at once; this one cannot be claimed, and nobody knows what it holds."""
    endpoint = Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2"))
    scene = Scene.settled(policy_of(endpoints=[endpoint]))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.run(15)
    ns1, ns2 = scene.state.targets
    scene.state = replace(scene.state, targets=(ns1, replace(ns2, published=None)))
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(9)
    assert kinds(scene.actions()).count("publish") == 1
    assert not closed(scene, "a")
    scene.run(2)
    assert closed(scene, "a")


def test_a_node_that_serves_stays_open_until_another_is_named() -> None:
    scene = nobody_knows_what_is_published()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(150)
    failover = next(e for e in scene.state.ended if e.operation.kind is Kind.FAILOVER)
    assert failover.ending is Ending.HANDED_OVER
    assert not closed(scene, "a")
    scene.answers.clear()
    scene.run(70)
    assert scene.state.target("ns1").surely[0].values == ("192.0.2.11",)
    assert closed(scene, "a")


def test_a_node_that_serves_is_closed_at_once_when_another_is_named_in_any_case() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(1)
    assert closed(scene, "a"), "the zone names b, and a perhaps"


def test_a_node_that_answers_again_is_not_closed_by_a_failover_that_goes_on() -> None:
    """It stood at its fence, the name server having taken nothing, and the controller died there."""
    scene = nobody_knows_what_is_published()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(12)
    assert at_its_fence(scene)
    scene.restarted()
    scene.sent.clear()
    scene.up("a")
    scene.settle()
    running = scene.state.operation
    assert running is not None
    assert running.notes[-1] == (
        "left open: ns1 is not known to name another node that serves mail.example.test"
    )
    assert not closed(scene, "a")


def test_a_drained_node_is_not_closed_when_the_other_one_has_failed_since() -> None:
    """The controller died when it was about to close a; when the next one looked, b had failed."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(29)
    scene.answers["order-ports"] = None
    scene.run(1)
    assert at_its_fence(scene)
    scene.restarted()
    scene.sent.clear()
    scene.answers.clear()
    scene.down("b", "imaps", for_s=5)
    scene.run(10)
    assert not at_its_fence(scene)
    assert not closed(scene, "a")
    scene.up("b")
    scene.run(5)
    assert closed(scene, "a")


def test_a_stale_update_leaves_nothing_known() -> None:
    """Somebody else wrote, and what is not known."""
    scene = Scene.settled()
    scene.answers["publish"] = Result.STALE
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    assert scene.state.target("ns1").surely == ()
    assert not closed(scene, "a")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [((), ("1",), ()), (("1", "2"), ("2", "3"), ("2",)), (("1",), ("2",), ()), (("1",), ("1",), ("1",))],
)
def test_what_two_publications_have_in_common(
    one: tuple[str, ...], other: tuple[str, ...], both: tuple[str, ...]
) -> None:
    a, b = (RRset("mail.example.test.", "A", 30, values) for values in (one, other))
    ipv6 = RRset("mail.example.test.", "AAAA", 30, ("::1",))
    assert [rrset.values for rrset in in_common((a,), (b, ipv6))] == ([both] if both else [])


def let_in_and_not_heard_of() -> Scene:
    """The zone named b alone, b failed, and a was let in: of that update nobody has heard yet."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(25)
    scene.answers["publish"] = None
    scene.down("b", "imaps")
    scene.settle()
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.up("b")
    return scene


def test_a_node_just_let_in_is_not_closed_while_a_name_server_may_yet_take_what_puts_it_in() -> None:
    """The zone named b alone; a was let in, and failed before anybody had heard of the update."""
    scene = let_in_and_not_heard_of()
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.phase("a") is Phase.OUT
    scene.sent.clear()
    waits = scene.run(8).waits_for
    assert waits == "ns1 may yet take what was sent to put a into mail.example.test"
    assert not closed(scene, "a")
    scene.run(3)
    assert closed(scene, "a"), "by now it is void"


def test_a_name_server_that_may_yet_take_what_puts_a_node_in_is_asked_again_before_that_is_closed() -> None:
    """The first update that leaves a out again was lost; a stood at its fence until the one that let it in
    had expired, was closed then, and was named all the time."""
    scene = let_in_and_not_heard_of()
    scene.answers["publish"] = Result.UNKNOWN
    scene.run(15)
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.phase("a") is Phase.OUT
    assert not closed(scene, "a")
    scene.sent.clear()
    scene.answers.clear()
    scene.run(1.5)
    assert kinds(scene.actions()) == ["publish", "order-ports", "verify"]
    assert closed(scene, "a")


def test_what_was_sent_to_let_a_node_in_is_made_void_when_that_is_rolled_back() -> None:
    """Nothing was published afterwards, for nobody was known to serve; and the update came a minute late."""
    scene = let_in_and_not_heard_of()
    publish = [order for order in scene.sent if order.action.kind == "publish"][-1]
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.phase("a") is Phase.OUT
    (claim,) = [order for order in scene.sent if order.action.kind == "claim-target"]
    assert claim.token > publish.token


@pytest.mark.parametrize("answer", [Result.FAILED, Result.UNKNOWN])
def test_a_name_server_that_took_nothing_before_a_doubt_is_asked_again_before_a_node_is_closed(
    answer: Result,
) -> None:
    """Its zone was frozen for two seconds, and while nobody was known to serve instead nothing was sent. Then
    a was closed by what had been answered a quarter of a minute before, and was named all the time."""
    scene = Scene.settled()
    scene.answers["publish"] = answer
    scene.down("a", "imaps", for_s=5)
    scene.step()
    scene.down("b", "imaps")
    waits = scene.run(14).waits_for
    assert waits == "nobody is known to serve mail.example.test instead: b is failed"
    scene.sent.clear()
    scene.answers.clear()
    scene.up("b")
    scene.settle()
    assert kinds(scene.actions()) == ["publish", "order-ports", "verify"]


def test_a_failover_in_doubt_at_its_fence_goes_back_to_publishing() -> None:
    """The controller died at the fence; when the next one looked, nobody was known to serve instead."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED, "order-ports": None}
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert at_its_fence(scene)
    scene.restarted()
    scene.down("b", "imaps")
    scene.run(14)
    scene.sent.clear()
    scene.answers.clear()
    scene.up("b")
    scene.settle()
    assert kinds(scene.actions()) == ["publish", "order-ports", "verify"]


def test_a_failover_in_doubt_at_its_fence_publishes_nothing_again_that_was_taken() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    scene.restarted()
    scene.down("b", "imaps")
    scene.run(14)
    scene.sent.clear()
    scene.answers.clear()
    scene.up("b")
    scene.settle()
    assert kinds(scene.actions()) == ["order-ports", "verify"]


def test_who_still_takes_nothing_after_a_doubt_holds_up_nobody() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.step()
    scene.down("b", "imaps")
    scene.run(14)
    scene.sent.clear()
    scene.up("b")
    scene.settle()
    assert kinds(scene.actions())[:2] == ["publish", "order-ports"]
