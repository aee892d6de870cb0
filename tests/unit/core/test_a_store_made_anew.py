"""The store was lost and made anew: what the nodes hold from before is not forgotten with it.

Found by simulation: a node closed in the earlier life was recorded as in service, as configured, was seen to
be well behind its closed ports, and became the successor that the other one was withdrawn for.
"""

from dataclasses import replace

from tests.unit.core.scene import MAIL, Scene, facts, imap_and_smtp, kinds, policy_of

from mailward.controller.core.admission import NOT_IN_DNS, left_out
from mailward.controller.vantage import Vantages
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED, OPEN
from mailward.model.health import Vantage
from mailward.model.orders import OrderPorts
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Cause, Phase, PhaseRecord, RequestKind, State


def closed(scene: Scene, *nodes: str) -> None:
    for node in nodes:
        ports = {service.name: CLOSED for service in scene.policy.services}
        scene.facts[node] = replace(facts(node), ports=ports)


def test_a_node_that_an_earlier_store_had_closed_is_out_until_a_person_readmits_it() -> None:
    """It may have been drained by hand: for new disks."""
    scene = Scene()
    closed(scene, "a")
    scene.looked_at_behind = ("a",)
    scene.step()
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert (record.phase, record.cause, record.detail) == (
        Phase.OUT,
        Cause.OPERATOR,
        "its client ports were closed before this store was made, and nobody knows why",
    )
    scene.looked_at_behind = ()
    scene.run(60)
    assert scene.phase("a") is Phase.OUT
    scene.ask(RequestKind.READMIT, "a")
    scene.run(10)
    assert scene.phase("a") is Phase.IN_SERVICE
    ordered = [a.ports["imaps"] for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a"]
    assert ordered == [CLOSED, OPEN]


def test_nobody_is_admitted_to_an_empty_record_before_every_helper_has_had_time_to_answer() -> None:
    """Found by simulation: published as in service, with ports that an earlier store had closed."""
    scene = Scene()
    closed(scene, "b")
    scene.facts["a"] = None
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(scene.policy.rules.step_patience_s - 1.0)
    assert (scene.state.phases, scene.state.answers) == ((), ())
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}
    assert scene.look().waits_for == "waiting up to 60 s for what mailward-node on a remembers"
    scene.run(2)
    assert (scene.phase("a"), scene.phase("b")) == (Phase.IN_SERVICE, Phase.OUT)
    assert scene.look().waits_for == ""


def test_where_a_node_stands_is_recorded_before_anything_is_made_of_it() -> None:
    """Found by random histories: drained in the very step that admitted it, it came from nowhere."""
    scene = Scene()
    scene.facts["b"] = None
    scene.ask(RequestKind.DRAIN, "a")
    scene.step()
    scene.facts["b"] = facts("b")
    scene.step()
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.step()
    assert scene.phase("a") is Phase.DRAINING


def test_one_that_leaves_nobody_is_not_taken_out_for_it() -> None:
    """The other one serves another endpoint, and is out for this one."""
    scene = Scene.settled(policy_of(endpoints=imap_and_smtp()))
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    ports = tuple(record for record in scene.state.ports if record.node != "b")
    scene.state = replace(scene.state, ports=ports)
    closed(scene, "b")
    scene.step()
    assert scene.phase("b", "imap.example.test") is Phase.IN_SERVICE


def test_it_is_noticed_also_when_its_helper_answers_late() -> None:
    scene = Scene()
    scene.facts["a"] = None
    scene.run(scene.policy.rules.step_patience_s + 1.0)
    assert scene.phase("a") is Phase.IN_SERVICE
    closed(scene, "a")
    scene.step()
    assert scene.phase("a") is Phase.OUT


def test_when_all_are_closed_one_is_opened_and_the_other_is_readmitted_to_it() -> None:
    scene = Scene()
    closed(scene, "a", "b")
    for node in "ab":
        scene.down(node, "imaps", "submission", "smtp", for_s=60)
    scene.step()
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE] * 2
    scene.run(2)
    opened = [a.node for a in scene.actions() if isinstance(a, OrderPorts) and a.ports["imaps"] == OPEN]
    assert opened == ["a"]
    assert scene.phase("b") is Phase.OUT
    scene.back("a")
    scene.back("b")
    scene.run(60)
    scene.ask(RequestKind.READMIT, "b")
    scene.run(10)
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE] * 2


def test_while_only_observing_it_is_left_to_a_person_who_takes_it_out_and_lets_it_in() -> None:
    scene = Scene(policy_of(automation=Automation.OBSERVE))
    closed(scene, "a")
    scene.down("a", "imaps", "submission", "smtp", for_s=60)
    scene.run(60)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.actions() == []
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(10)
    scene.back("a", for_s=60)
    scene.ask(RequestKind.READMIT, "a")
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE
    ordered = [a.ports["imaps"] for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a"]
    assert ordered == [CLOSED, OPEN]


def test_nobody_is_left_to_a_node_that_is_known_to_work_behind_closed_ports_only() -> None:
    scene = Scene.settled()
    scene.looked_at_behind = ("b",)
    scene.down("a", "imaps", for_s=60)
    scene.run(10)
    assert scene.holding("a") == ["successor"]
    assert "behind closed ports" in scene.finding("successor", "a").reason


def test_ways_around_closed_ports_are_forgotten_with_the_record_of_them() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    ways = Vantages()
    ways.update(scene.state)
    assert ways.of("a", "imaps") is Vantage.HELPER
    ways.update(State(scene.state.store_id, 9))
    assert ways.of("a", "imaps") is Vantage.DIRECT


def test_a_node_that_has_not_said_what_it_holds_is_out_until_a_person_readmits_it() -> None:
    """It was drained for a new mainboard, and dead when the store was made anew; when it booted, automation
    let it in."""
    scene = Scene()
    scene.state = replace(scene.state, epoch=7, made_epoch=7)
    scene.epoch = 8
    scene.gone("a")
    scene.facts["a"] = None
    scene.run(scene.policy.rules.step_patience_s + 1)
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert (record.phase, record.cause) == (Phase.OUT, Cause.OPERATOR)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.back("a")
    closed(scene, "a")
    scene.run(120)
    assert scene.phase("a") is Phase.OUT


def test_where_no_helper_answers_everybody_is_in_service_as_configured() -> None:
    scene = Scene()
    scene.state = replace(scene.state, epoch=7, made_epoch=7)
    scene.epoch = 8
    scene.facts = dict.fromkeys(scene.facts, None)
    scene.run(scene.policy.rules.step_patience_s + 1)
    assert [scene.phase(node) for node in "ab"] == [Phase.IN_SERVICE, Phase.IN_SERVICE]


def test_who_has_not_said_and_is_away_elsewhere_serves_what_nobody_else_is_left_to_serve() -> None:
    """Found by simulation: c serves mail.test alone, as DNS says; of imap.test nobody was left in service, so
    the decision broke a rule, again and again, and automation stood still."""
    mail = Endpoint(MAIL, ("imaps", "submission"), ("a", "b", "c"), 30, ("ns1",))
    imap = Endpoint("imap.test", ("imaps",), ("a", "b"), 30, ("ns2",))
    scene = Scene(policy_of(("a", "b", "c"), (mail, imap)))
    left = [("a", MAIL), ("b", MAIL), ("b", "imap.test")]
    records = tuple(PhaseRecord(n, e, Phase.OUT, scene.now, Cause.OPERATOR, NOT_IN_DNS) for n, e in left)
    scene.state = replace(scene.state, epoch=7, made_epoch=7, phases=records)
    scene.epoch = 8
    scene.gone("a")
    scene.facts["a"] = None
    scene.run(scene.policy.rules.step_patience_s + 1)
    assert scene.look().broken == ()
    assert (scene.phase("a", "imap.test"), scene.phase("a"), scene.phase("c")) == (
        Phase.IN_SERVICE, Phase.OUT, Phase.IN_SERVICE,
    )  # fmt: skip


def test_the_first_store_of_a_cluster_need_not_hear_anybody() -> None:
    scene = Scene()
    scene.state = replace(scene.state, made_epoch=0)
    scene.facts["a"] = None
    scene.run(scene.policy.rules.step_patience_s + 1)
    assert [scene.phase(node) for node in "ab"] == [Phase.IN_SERVICE, Phase.IN_SERVICE]


def answer(name: str, *addresses: str) -> RRset:
    return RRset(f"{name}.", "A", 30, addresses)


def test_whom_no_target_names_while_some_name_another_is_out_by_an_operators_word() -> None:
    """Found by simulation: drained, its ports still open, and in service for a store that knew of nothing."""
    policy, now = policy_of(), Scene().now
    (out,) = left_out(policy, [answer(MAIL, "192.0.2.10")], now)
    assert (out.node, out.endpoint, out.phase, out.cause, out.since) == (
        "b", MAIL, Phase.OUT, Cause.OPERATOR, now,
    )  # fmt: skip
    assert out.detail == "it was not in DNS when this store was made, and nobody knows why"
    assert left_out(policy, [answer(MAIL, "192.0.2.10"), answer(MAIL, "192.0.2.11")], now) == ()


def test_where_dns_names_nobody_nobody_is_left_out() -> None:
    elsewhere = [answer("www.test", "192.0.2.10"), answer(MAIL, "192.0.2.99")]
    assert left_out(policy_of(), elsewhere, Scene().now) == ()


def test_one_that_was_found_out_of_dns_waits_for_helpers_as_an_empty_record_does() -> None:
    scene = Scene()
    out = PhaseRecord("b", MAIL, Phase.OUT, scene.now, Cause.OPERATOR, "not in DNS when this store was made")
    scene.state = replace(scene.state, epoch=7, made_epoch=7, phases=(out,))
    scene.epoch = 8
    scene.facts["a"] = None
    scene.run(scene.policy.rules.step_patience_s - 1)
    assert scene.state.phases == (out,)
    scene.facts["a"] = facts("a")
    scene.run(60)
    assert [scene.phase(node) for node in "ab"] == [Phase.IN_SERVICE, Phase.OUT]
    assert scene.state.target("ns1").surely_names(MAIL) == {"192.0.2.10", "2001:db8::10"}


def test_a_node_half_closed_by_an_earlier_store_is_closed_and_can_be_readmitted() -> None:
    """Found by simulation: its port of imaps stayed open until the name server was known to name the other,
    which was not written to before everybody was well, which a node with a closed port never is."""
    scene = Scene(policy_of(endpoints=imap_and_smtp()))
    scene.facts["a"] = replace(facts("a"), ports={"submission": CLOSED})
    scene.down("a", "submission", for_s=60)
    scene.run(5)
    assert [scene.phase(node) for node in "ab"] == [Phase.OUT, Phase.IN_SERVICE]
    assert scene.state.target("ns1").surely_names(MAIL) == {"192.0.2.11", "2001:db8::11"}
    scene.back("a", for_s=60)
    scene.ask(RequestKind.READMIT, "a")
    scene.run(10)
    assert scene.phase("a") is Phase.IN_SERVICE
