"""What is written to a name server beyond an operation's own endpoints. All of it was found by simulation."""

from dataclasses import replace

from tests.unit.core.scene import Scene, facts, kinds, policy_of

from mailward.model.fencing import CLOSED, FenceOutcome
from mailward.model.health import Vantage
from mailward.model.orders import Publish, Result
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Cause, Phase, RequestKind

MAIL = Endpoint("mail.test", ("imaps", "submission"), ("a", "b", "c"), 30, ("ns1",))
IMAP = Endpoint("imap.test", ("imaps",), ("a", "b"), 30, ("ns1",))


def published(scene: Scene, name: str) -> list[tuple[str, ...]]:
    return [
        rrset.values
        for action in scene.actions()
        if isinstance(action, Publish)
        for rrset in action.rrsets
        if (rrset.name, rrset.type) == (f"{name}.", "A")
    ]


def test_an_endpoint_with_nobody_to_serve_it_keeps_who_is_away_while_another_is_published() -> None:
    """a was taken out of it, and nothing of that could be published; then b failed, for both endpoints."""
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL, IMAP)))
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.UNKNOWN}
    scene.down("a", "imaps", for_s=5)
    scene.run(90)
    assert scene.phase("a", IMAP.name) is Phase.OUT
    scene.back("a", for_s=1)
    scene.down("b", "imaps", for_s=5)
    scene.answers.clear()
    scene.sent.clear()
    scene.run(3)
    assert scene.phase("b", MAIL.name) is Phase.OUT
    assert published(scene, IMAP.name)[0] == ("192.0.2.10", "192.0.2.11")
    assert published(scene, MAIL.name)[0] == ("192.0.2.12",)


def test_who_is_away_and_named_may_be_the_first_to_serve_again() -> None:
    """b was kept in imap.test when a had failed, out of it though it was; then its site was cut off. c was
    let in for mail.test, and with that b was taken away, though a still failed."""
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL, IMAP)))
    scene.ask(RequestKind.FAILOVER, "c")
    scene.run(3)
    scene.put_phase("b", Phase.OUT, Cause.SERVICE, IMAP.name)
    scene.down("a", "imaps", for_s=60)
    scene.gone("b", for_s=60)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.ask(RequestKind.READMIT, "c")
    scene.sent.clear()
    scene.run(5)
    assert scene.phase("c", MAIL.name) is Phase.IN_SERVICE
    assert set(published(scene, IMAP.name)) == {("192.0.2.10", "192.0.2.11")}
    scene.up("a", for_s=60)
    scene.sent.clear()
    scene.run(5)
    assert published(scene, IMAP.name) == [("192.0.2.10",)]


def test_who_is_away_and_closed_is_not_kept_for_being_named() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL, IMAP)))
    scene.ask(RequestKind.FAILOVER, "c")
    scene.run(3)
    scene.down("b", "imaps", for_s=60)
    scene.run(3)
    record = scene.state.target("ns1")
    everybody = tuple(
        replace(rrset, values=("192.0.2.10", "192.0.2.11")) if rrset.type == "A" else rrset
        for rrset in record.published or ()
    )
    scene.state = replace(scene.state, targets=(replace(record, published=everybody),))
    scene.down("a", "imaps", for_s=60)
    scene.ask(RequestKind.READMIT, "c")
    scene.sent.clear()
    scene.run(5)
    assert scene.phase("c", MAIL.name) is Phase.IN_SERVICE
    assert set(published(scene, IMAP.name)) == {("192.0.2.10",)}


def test_what_only_repeats_ports_does_not_write_to_a_target_that_was_never_written_to() -> None:
    """What it holds may be better than what is recorded: b was not known to serve, and not in the zone."""
    scene = Scene(policy_of(("a", "b", "c"), (MAIL,)))
    scene.facts["b"] = None
    scene.facts["c"] = replace(facts("c"), ports=dict.fromkeys(MAIL.services, CLOSED))
    scene.unknown("b")
    scene.down("c", *MAIL.services, for_s=60)
    scene.answers["claim-target"] = None
    scene.run(scene.policy.rules.step_patience_s + 1)
    assert scene.phase("c", MAIL.name) is Phase.OUT
    scene.answers.clear()
    scene.run(60)
    assert "order-ports" in kinds(scene.actions())
    assert "publish" not in kinds(scene.actions())


def test_a_node_is_not_closed_while_a_target_that_cannot_refuse_is_waited_for() -> None:
    both = (Endpoint("mail.test", ("imaps",), ("a", "b"), 30, ("ns1", "ns2")),)
    scene = Scene.settled(policy_of(endpoints=both))
    scene.policy = replace(scene.policy, unguarded=("ns1",))
    scene.answers["publish"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(1)
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    scene.run(scene.policy.rules.order_timeout_s)
    assert "order-ports" not in kinds(scene.actions())
    scene.run(5)
    ordered = [key for key in kinds(scene.actions()) if key in ("publish", "order-ports")]
    assert ordered == ["publish", "publish", "order-ports"]


def test_who_is_closed_is_not_kept_though_observers_have_not_noticed_yet() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL, IMAP)))
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.UNKNOWN}
    scene.down("a", "imaps", for_s=5)
    scene.run(90)
    scene._vantage = lambda _node, _service: Vantage.DIRECT  # type: ignore[method-assign,assignment]
    confirmed = tuple(replace(record, fence=FenceOutcome.CONFIRMED) for record in scene.state.ports)
    scene.state = replace(scene.state, ports=confirmed)
    scene.back("a", for_s=1)
    scene.down("b", "imaps", for_s=5)
    scene.answers.clear()
    scene.sent.clear()
    scene.run(3)
    assert published(scene, IMAP.name)[0] == ("192.0.2.11",)


def test_a_failover_puts_nobody_in_who_is_known_to_fail() -> None:
    """Only observing, with a store made anew: b was closed in its earlier life, and is in service as
    configured. Whoever fails over c by hand does not mean b to be published."""
    scene = Scene(policy_of(("a", "b", "c"), (MAIL,), automation=Automation.OBSERVE))
    scene.facts["b"] = replace(facts("b"), ports=dict.fromkeys(MAIL.services, CLOSED))
    scene.down("b", *MAIL.services, for_s=60)
    scene.run(5)
    scene.ask(RequestKind.FAILOVER, "c")
    scene.run(5)
    assert scene.phase("c", MAIL.name) is Phase.OUT
    assert set(published(scene, MAIL.name)) == {("192.0.2.10",)}
    scene.back("b", for_s=5)
    scene.sent.clear()
    scene.run(2)
    assert published(scene, MAIL.name) == [("192.0.2.10", "192.0.2.11")]


def test_who_is_known_to_be_named_is_not_withdrawn_with_another() -> None:
    """That is a failover of its own, with gates of its own."""
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL,)))
    scene.down("b", "imaps")
    scene.ask(RequestKind.FAILOVER, "c")
    scene.step()
    assert published(scene, MAIL.name) == [("192.0.2.10", "192.0.2.11")]


def test_a_readmission_puts_nobody_into_another_endpoint_who_fails_there_though_everybody_does() -> None:
    """ns1 had not taken yet that a and b are in service for mail.test, and submission failed on every node;
    a was let in for imap.test, which has all it needs, and was named for both."""
    scene = Scene.settled(policy_of(("a", "b", "c"), (MAIL, IMAP)))
    scene.put_phase("a", Phase.OUT, Cause.OPERATOR, IMAP.name)
    scene.run(5)
    record = scene.state.target("ns1")
    earlier = tuple(
        replace(rrset, values=rrset.values[-1:]) if rrset.name == f"{MAIL.name}." else rrset
        for rrset in record.published or ()
    )
    scene.state = replace(scene.state, targets=(replace(record, published=earlier),))
    for node in ("a", "b", "c"):
        scene.down(node, "submission", for_s=60)
    scene.ask(RequestKind.READMIT, "a")
    scene.sent.clear()
    scene.run(5)
    assert scene.phase("a", IMAP.name) is Phase.IN_SERVICE
    assert published(scene, IMAP.name)[0] == ("192.0.2.10", "192.0.2.11")
    assert set(published(scene, MAIL.name)) == {("192.0.2.12",)}
    scene.up("a", "submission", for_s=5)
    scene.sent.clear()
    scene.run(60)
    assert published(scene, MAIL.name) == [("192.0.2.10", "192.0.2.12"), ("192.0.2.10",)]
