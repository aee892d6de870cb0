"""Leases: who is cut off stops by itself, and counts as stopped when nobody can have renewed anything for
long enough, by our own clock. Until then, and wherever it is in doubt, nobody is promoted."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, SERVICES, Scene, Voice, cluster_of, facts

from mailward.fencing.node import protocol
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, NodeFacts, PortKind, Scope, Terms
from mailward.model.orders import ClaimHelper, OrderPorts, PowerOff, Publish, Result
from mailward.model.policy import Automation, Loss, Observer, Policy, Rules, RungKind, lease_over_s
from mailward.model.report import LeaseReport
from mailward.model.state import Phase, PortsRecord, RequestKind, Step

LEASE_S, OVER_S = 15.0, 35.5
RULES = Rules(lease_s=LEASE_S)
RUNGS = (RungKind.HELPER, RungKind.LEASE)
WITH_POWER = (*RUNGS, RungKind.AGENT)
OBSERVERS = (Observer("a", "site-a"), Observer("b", "site-b"), Observer("w", "site-w"))
LATE_S = 182.0  # an order to open under a lease, and to promote first, may be carried out so late


def policy(rungs: tuple[RungKind, ...] = RUNGS, rules: Rules = RULES) -> Policy:
    return cluster_of(rungs=rungs, rules=rules, observers=OBSERVERS)


def said(node: str, *, lease_s: float | None = LEASE_S, left_s: float | None = 12.0) -> NodeFacts:
    """What a helper tells of a node that was ordered open."""
    ports = dict.fromkeys((service.name for service in SERVICES), OPEN)
    return replace(facts(node), ports=ports, lease_s=lease_s, lease_left_s=left_s)


def closed(node: str) -> NodeFacts:
    """What a helper tells of a node that was ordered closed."""
    return replace(facts(node), ports=dict.fromkeys((service.name for service in SERVICES), CLOSED))


def unarmed(rungs: tuple[RungKind, ...] = RUNGS, rules: Rules = RULES) -> Scene:
    scene = Scene.of_a_cluster(policy(rungs, rules))
    for name in ("a", "b"):
        renews(scene, name, renewing=name == "a")
    return scene


def armed(rungs: tuple[RungKind, ...] = RUNGS, rules: Rules = RULES) -> Scene:
    """`a` serves under a lease, since long enough that its order is not in doubt any more."""
    scene = unarmed(rungs, rules)
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    scene.settle()
    scene.facts["a"] = said("a")
    scene.run(100)
    assert record(scene, "a").lease_s == LEASE_S
    renews(scene, "a")
    scene.sent.clear()
    return scene


def says(scene: Scene, node: str, found: NodeFacts) -> None:
    """Its helper has obeyed what was ordered last, and says so."""
    scene.facts[node] = replace(found, token=scene.state.helper(node).claimed)


def renews(scene: Scene, name: str, *, renewing: bool = True, idle_s: float = 0.0) -> None:
    """The daemon beside a node has just said so."""
    scene.kept[name] = scene.now_s, LeaseReport(name, renewing, idle_s)


def cut_off(scene: Scene, since_s: float = 31.0) -> None:
    """`a` from everything, and the daemon beside it: that said last that it renews."""
    scene.gone("a", for_s=since_s)
    scene.kept["a"] = scene.now_s - since_s, LeaseReport("a", renewing=True)
    scene.voices["a"] = Voice(age_s=since_s)
    scene.answers["order-ports:a"] = Result.UNKNOWN


def record(scene: Scene, node: str) -> PortsRecord:
    found = scene.state.ports_of(node)
    assert found is not None
    return found


def opened(scene: Scene) -> list[tuple[str, float | None]]:
    """Who was ordered open, and for how long."""
    return [
        (action.node, action.terms.lease_s)
        for action in scene.actions()
        if isinstance(action, OrderPorts)
        and any(port.kind is PortKind.OPEN for port in action.ports.values())
    ]


def waits_for(scene: Scene) -> str:
    return scene.look().waits_for


# arming


def test_who_serves_without_a_lease_is_ordered_to_serve_with_one() -> None:
    scene = unarmed()
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    scene.settle()
    assert opened(scene) == [("a", LEASE_S)]
    assert (record(scene, "a").lease_s, record(scene, "a").fence) == (LEASE_S, FenceOutcome.CONFIRMED)


@pytest.mark.parametrize("why", ["not restarted yet", "another configuration", "silent"])
def test_who_serves_without_a_lease_is_left_so_while_nobody_would_renew_one(why: str) -> None:
    """Daemons are restarted with `lease_s` one after the other, and under a lease it would close."""
    scene = unarmed()
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    if why == "not restarted yet":
        del scene.kept["a"]
        scene.voices["a"] = Voice(digest="d0")
    elif why == "another configuration":
        scene.voices["a"] = Voice(digest="d0")
    else:
        scene.voices["a"] = Voice(silent=True, age_s=60.0)
    scene.run(60)
    assert opened(scene) == []
    scene.voices.clear()
    renews(scene, "a")
    scene.run(2)
    assert opened(scene) == [("a", LEASE_S)]


def test_an_order_in_doubt_is_not_repeated_under_a_lease_that_nobody_would_renew() -> None:
    scene = unarmed()
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(2)
    assert opened(scene) == [("a", LEASE_S)]
    scene.run(58)
    assert scene.state.operation is None
    assert record(scene, "a").fence is FenceOutcome.UNKNOWN
    scene.sent.clear()
    del scene.kept["a"]
    scene.run(120)
    assert opened(scene) == []
    renews(scene, "a")
    scene.run(120)
    assert opened(scene) != []


def test_nothing_is_known_of_a_lease_before_the_order_was_acknowledged() -> None:
    scene = unarmed()
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(2)
    assert opened(scene) == [("a", LEASE_S)]
    assert record(scene, "a").lease_s is None


def test_who_was_stopped_for_certain_is_open_under_its_lease_or_not_at_all() -> None:
    scene = armed()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(2)
    assert scene.phase("b") is Phase.PROMOTING
    assert record(scene, "b").lease_s == LEASE_S


def test_to_be_open_without_a_lease_is_recorded_before_it_is_ordered() -> None:
    scene = armed()
    says(scene, "a", said("a"))
    scene.policy = policy(rules=Rules())
    scene.step()
    decision = scene.step(0.5)
    orders = [order.action for order in [*scene.sent, *decision.send] if isinstance(order.action, OrderPorts)]
    assert [(order.node, order.terms) for order in orders[-1:]] == [("a", Terms())]
    assert record(scene, "a").lease_s is None


@pytest.mark.parametrize(
    "now_said",
    [
        said("a", lease_s=None, left_s=None),
        replace(said("a"), forced=True),
        replace(said("a"), applied=False),
    ],
    ids=["under no lease", "by hand", "its firewall shows something else"],
)
def test_who_says_that_it_is_open_under_no_lease_is_not_leased(now_said: NodeFacts) -> None:
    scene = armed()
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.facts["a"] = now_said
    scene.step(1.0)
    assert record(scene, "a").lease_s is None
    cut_off(scene)
    scene.run(100)
    assert scene.phase("b") is Phase.STANDBY
    assert "lease: its client ports may be open without one" in waits_for(scene)


def test_a_longer_lease_of_before_counts_until_the_shorter_one_was_acknowledged() -> None:
    scene = armed()
    says(scene, "a", said("a"))
    scene.policy = policy(rules=Rules(lease_s=5.0))
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(1)
    assert opened(scene)[:1] == [("a", 5.0)]
    assert record(scene, "a").lease_s == LEASE_S
    scene.answers.clear()
    scene.run(40)
    assert record(scene, "a").lease_s == 5.0


# over


def test_who_is_cut_off_is_stopped_when_its_lease_is_over_for_certain() -> None:
    scene = armed()
    cut_off(scene)
    scene.run(1)
    assert scene.phase("a") is Phase.DEMOTING
    assert "a is not known to be stopped (helper: as told; lease: runs out in 4 s)" in waits_for(scene)
    assert opened(scene) == []
    scene.run(3)
    assert record(scene, "a").lapsed is None
    scene.run(1)
    assert record(scene, "a").lapsed is not None
    scene.run(10)
    assert (scene.phase("a"), scene.phase("b")) == (Phase.OUT, Phase.IN_SERVICE)
    assert opened(scene) == [("b", LEASE_S)]


def test_a_lease_that_is_renewed_by_another_configuration_is_never_over() -> None:
    """Whose promises keep it open without the store is not known then."""
    scene = armed()
    cut_off(scene)
    scene.voices["a"] = Voice(age_s=31.0, digest="d2")
    scene.run(OVER_S + 30)
    assert "lease: a, which renews it, has another configuration" in waits_for(scene)
    assert opened(scene) == []


def test_it_is_counted_from_the_newest_report_that_says_that_it_renews() -> None:
    scene = armed()
    cut_off(scene)
    renews(scene, "a")
    scene.run(OVER_S - 1)
    assert scene.phase("b") is Phase.STANDBY
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_nothing_is_over_that_was_not_revoked() -> None:
    """However long the daemon beside it is silent: it may renew by promises."""
    scene = armed()
    scene.kept["a"] = scene.now_s - 1000, LeaseReport("a", renewing=True)
    scene.run(60)
    assert record(scene, "a").lapsed is None


def test_it_is_judged_on_what_was_read_after_it_was_revoked() -> None:
    scene = armed()
    cut_off(scene, since_s=1000)
    scene.step()
    assert scene.phase("a") is Phase.DEMOTING
    assert record(scene, "a").lapsed is None
    scene.step()
    assert record(scene, "a").lapsed is not None


@pytest.mark.parametrize(
    ("idle_s", "tilted", "over"), [(34, False, True), (20, False, False), (34, True, False)]
)
def test_who_says_that_it_renews_nothing_says_since_when(idle_s: float, tilted: bool, over: bool) -> None:
    scene = armed()
    cut_off(scene)
    renews(scene, "a", renewing=False, idle_s=idle_s)
    scene.voices["a"] = Voice(tilted=tilted)
    scene.run(2)
    assert (record(scene, "a").lapsed is not None) is over


def test_what_was_ordered_open_and_not_heard_of_may_have_begun_late() -> None:
    scene = armed()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(2)
    began_s = scene.now_s
    assert opened(scene)[-1] == ("b", LEASE_S)
    scene.facts["a"] = closed("a")
    renews(scene, "b", renewing=False, idle_s=1000)
    scene.gone("b")
    scene.down("b", for_s=60)
    scene.facts["b"] = None
    scene.run(60 - 2)
    assert scene.phase("b") is Phase.PROMOTING
    scene.run(4)
    assert scene.phase("b") is Phase.DEMOTING
    last = record(scene, "b")
    assert last.opened is not None
    scene.run(LATE_S + 1.1 * LEASE_S - last.opened.age_s(scene.now) - 1)
    assert record(scene, "b").lapsed is None
    scene.run(3)
    assert record(scene, "b").lapsed is not None
    assert scene.now_s > began_s + LATE_S


def test_what_has_said_that_it_is_open_is_late_no_more() -> None:
    """A failover soon after a promotion waits for no hook of it."""
    scene = armed()
    scene.down("a", for_s=31)
    scene.settle()
    assert record(scene, "b").late_s == 0.0
    scene.facts["a"] = closed("a")
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE
    began = record(scene, "b").opened
    assert began is not None
    scene.back("a", for_s=1000)
    scene.facts["a"] = closed("a")
    scene.answers["order-ports:b"] = Result.UNKNOWN
    renews(scene, "b", renewing=False, idle_s=1000)
    scene.gone("b", for_s=31)
    scene.ask(RequestKind.FAILOVER, "b")
    scene.run(1)
    assert scene.phase("b") is Phase.DEMOTING
    assert record(scene, "b").late_s == 0.0
    scene.run(1.1 * LEASE_S - began.age_s(scene.now) - 1)
    assert record(scene, "b").lapsed is None
    scene.run(1.5)
    assert record(scene, "b").lapsed is not None


def test_what_a_renewal_may_take_is_counted_term_by_term() -> None:
    """The window of a helper, two leases of a kernel that counts slower, and a margin."""
    assert lease_over_s(LEASE_S) == pytest.approx(protocol.WINDOW_S + 2 * LEASE_S * 1.05 + 2.0) == OVER_S


def test_who_has_no_daemon_beside_it_that_tells_of_a_lease_is_never_over() -> None:
    scene = armed()
    cut_off(scene)
    del scene.kept["a"]
    scene.run(100)
    assert record(scene, "a").lapsed is None
    assert "lease: no daemon beside it has ever told of it" in waits_for(scene)


def test_the_word_of_somebody_who_is_no_observer_does_not_count() -> None:
    scene = armed()
    cut_off(scene)
    scene.policy = replace(scene.policy, observers=OBSERVERS[1:])
    scene.run(100)
    assert record(scene, "a").lapsed is None


@pytest.mark.parametrize("how", ["it answers its clients", "its helper says that its lease runs"])
def test_who_is_seen_to_be_open_is_not_over_whatever_was_counted(how: str) -> None:
    scene = armed()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.kept["a"] = scene.now_s - 1000, LeaseReport("a", renewing=True)
    if how == "it answers its clients":
        scene.facts["a"] = None
    else:
        scene.down("a")
    scene.run(20)
    assert scene.phase("a") is Phase.DEMOTING
    assert record(scene, "a").lapsed is None
    assert "s ago, and its client ports are open" in waits_for(scene)


def test_what_has_run_out_stays_so_whatever_a_new_process_says() -> None:
    scene = armed(rules=replace(RULES, loss=Loss.LOSSLESS, rescue_s=0.0))
    scene.lag("a", "b", 3.0)
    cut_off(scene)
    scene.run(10)
    assert [each.step for each in [scene.state.operation] if each] == [Step.RESCUE]
    renews(scene, "a", renewing=False)
    scene.voices.clear()
    scene.run(20)
    assert [each.step for each in [scene.state.operation] if each] == [Step.RESCUE]
    assert record(scene, "a").lapsed is not None


def lapsed_at_rescue() -> Scene:
    """`a` counts as stopped by its lease, and its mail is waited for."""
    scene = armed(rules=replace(RULES, loss=Loss.LOSSLESS, rescue_s=0.0))
    scene.lag("a", "b", 3.0)
    cut_off(scene)
    scene.run(10)
    assert record(scene, "a").lapsed is not None
    return scene


@pytest.mark.parametrize(
    "now_said",
    [said("a"), said("a", lease_s=None, left_s=None), replace(said("a", left_s=0), forced=True),
     replace(said("a", left_s=0), applied=False), said("a", left_s=None)],
    ids=["it runs", "under no lease", "by hand", "its firewall shows something else", "nobody can tell"],
)  # fmt: skip
def test_who_says_since_that_it_is_open_does_not_count_as_stopped(now_said: NodeFacts) -> None:
    scene = lapsed_at_rescue()
    scene.facts["a"] = now_said
    scene.run(1)
    assert record(scene, "a").lapsed is None
    assert [each.step for each in [scene.state.operation] if each] == [Step.FENCE]


def test_who_is_seen_to_serve_since_does_not_count_as_stopped() -> None:
    scene = lapsed_at_rescue()
    scene.up("a", "imaps")
    scene.run(1)
    assert record(scene, "a").lapsed is None


def test_who_says_since_that_its_lease_has_lapsed_stays_stopped() -> None:
    scene = lapsed_at_rescue()
    scene.facts["a"] = said("a", left_s=0)
    scene.run(1)
    assert record(scene, "a").lapsed is not None


def test_a_new_leader_finds_it_recorded_and_counts_in_its_own_time() -> None:
    scene = lapsed_at_rescue()
    before = record(scene, "a").lapsed
    assert before is not None
    assert scene.state.as_of is not None
    age_s = before.age_s(scene.state.as_of)  # what has passed since, nobody has seen
    scene.restarted()
    scene.boot_id, scene.now_s = "another", 500.0
    scene.unchanged_s = 5.0
    scene.kept["a"] = 500.0, LeaseReport("a", renewing=True)
    scene.step()
    after = record(scene, "a").lapsed
    assert after is not None
    assert after.boot_id == "another"
    assert after.age_s(scene.now) == pytest.approx(age_s + 5.0)
    opened_at = record(scene, "a").opened
    assert opened_at is not None
    assert opened_at.boot_id == "another"


def test_an_order_to_open_it_again_is_a_new_lease() -> None:
    scene = armed()
    cut_off(scene)
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.answers.clear()
    scene.voices.clear()
    scene.back("a", for_s=60)
    renews(scene, "a", renewing=False)
    scene.facts["a"] = closed("a")
    scene.run(60)
    assert scene.phase("a") is Phase.STANDBY
    scene.ask(RequestKind.SWITCHOVER, "a")
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert record(scene, "a").lapsed is None


# the ladder


def test_where_users_are_not_enough_a_lease_is_not() -> None:
    scene = armed(WITH_POWER)
    scene.policy = policy(WITH_POWER, replace(RULES, fence_scope=Scope.WRITES))
    scene.scope = Scope.WRITES
    scene.run(2)
    assert scene.state.ports_of("b") is not None
    cut_off(scene, since_s=1000)
    scene.answers["power-off"] = Result.UNKNOWN
    scene.run(2)
    assert "lease: it stops users only, and `fence_scope` is writes" in waits_for(scene)
    assert {action.node for action in scene.actions() if isinstance(action, PowerOff)} == {"a"}
    scene.run(60)
    assert scene.phase("b") is Phase.STANDBY


def test_power_is_not_touched_where_the_lease_runs_out() -> None:
    scene = armed(WITH_POWER)
    cut_off(scene)
    scene.run(1)
    assert not any(isinstance(action, PowerOff) for action in scene.actions())
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def test_the_lease_of_who_is_not_closed_by_any_helper_is_waited_for() -> None:
    scene = armed((RungKind.ASK, *RUNGS))
    cut_off(scene)
    scene.run(2)
    tried = [action.by for action in scene.actions() if isinstance(action, OrderPorts)]
    assert tried[:2] == [RungKind.ASK, RungKind.HELPER]
    assert "(ask: as told; helper: as told; lease: " in waits_for(scene)
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_power_is_touched_at_once_where_nothing_was_leased() -> None:
    scene = unarmed(WITH_POWER)
    cut_off(scene)
    scene.run(2)
    assert [action.node for action in scene.actions() if isinstance(action, PowerOff)] == ["a"]


def test_renewals_that_go_on_are_waited_for_no_longer_than_they_should_last() -> None:
    scene = armed(WITH_POWER)
    scene.down("a", for_s=31)
    scene.facts["a"] = None
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.answers["power-off"] = Result.UNKNOWN
    for _ in range(66):
        renews(scene, "a")
        scene.run(0.5)
    assert not any(isinstance(action, PowerOff) for action in scene.actions())
    for _ in range(6):
        renews(scene, "a")
        scene.run(0.5)
    assert {action.node for action in scene.actions() if isinstance(action, PowerOff)} == {"a"}
    assert "lease: renewals go on, 36 s after it was revoked" in waits_for(scene)


# who renews


def test_nobody_is_promoted_whose_lease_nobody_would_renew() -> None:
    scene = armed()
    more = (Observer("v", "site-v"), Observer("x", "site-x"))
    scene.policy = replace(scene.policy, observers=(*OBSERVERS, *more))
    scene.voices["b"] = Voice(age_s=60.0)
    cut_off(scene)
    scene.run(100)
    assert scene.phase("b") is Phase.STANDBY
    reason = scene.finding("heir", "a").reason
    assert (
        reason
        == "b has a daemon beside it that is not heard (last reported 60 s ago): nobody would renew its lease"
    )
    del scene.kept["b"]
    assert "b has no daemon beside it that tells of its lease" in scene.finding("heir", "a").reason


def test_who_serves_and_whose_lease_has_lapsed_is_opened_again() -> None:
    scene = armed()
    scene.down("a", for_s=5)
    says(scene, "a", said("a", left_s=0))
    scene.run(1)
    assert opened(scene) == [("a", LEASE_S)]


def test_who_serves_is_not_opened_again_where_nobody_would_renew_its_lease() -> None:
    scene = armed()
    scene.down("a", for_s=5)
    says(scene, "a", said("a", left_s=0))
    scene.voices["a"] = Voice(age_s=60.0)
    scene.run(20)
    assert opened(scene) == []
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_who_serves_is_not_opened_again_while_another_may_be_open() -> None:
    scene = armed()
    scene.down("a", for_s=5)
    says(scene, "a", said("a", left_s=0))
    scene.facts["b"] = replace(facts("b"), forced=True)
    scene.run(20)
    assert opened(scene) == []


def test_who_serves_and_has_lapsed_is_opened_again_by_one_that_only_observes() -> None:
    """By a later leader, which has claimed nothing: this helper first, whatever is known of the others."""
    scene = armed()
    scene.policy = replace(scene.policy, automation=Automation.OBSERVE)
    scene.restarted()
    scene.state = replace(scene.state, ports=tuple(r for r in scene.state.ports if r.node != "b"))
    scene.run(20)
    assert scene.actions() == []
    scene.down("a", for_s=5)
    says(scene, "a", said("a", left_s=0))
    scene.run(5)
    assert opened(scene) == [("a", LEASE_S)]
    assert scene.actions()[0] == ClaimHelper("a")
    assert not any(isinstance(action, Publish) for action in scene.actions())


def promoted_and_unpublished() -> Scene:
    """`b` serves for `a`, which is closed, and no name server takes that."""
    scene = armed()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", for_s=31)
    scene.settle()
    scene.facts["a"] = closed("a")
    says(scene, "b", said("b"))
    scene.run(10)
    assert (scene.phase("a"), scene.phase("b")) == (Phase.OUT, Phase.IN_SERVICE)
    assert [each.step for each in [scene.state.operation] if each] == [Step.PUBLISH]
    return scene


def test_who_is_promoted_and_is_closed_by_its_lease_is_not_opened_again_where_nobody_renews() -> None:
    """It fails like any other then: with patience, and only for somebody who can take over."""
    scene = promoted_and_unpublished()
    scene.sent.clear()
    scene.voices["b"] = Voice(age_s=60.0)
    scene.down("b")
    says(scene, "b", said("b", left_s=0))
    scene.run(20)
    assert (scene.phase("b"), opened(scene)) == (Phase.IN_SERVICE, [])
    del scene.voices["b"]
    scene.run(31)
    assert opened(scene)[:1] == [("b", LEASE_S)]


def test_who_serves_and_cannot_be_opened_again_keeps_service_while_nobody_else_can_have_it() -> None:
    """It was once failed over at once, to nobody, and that never ended."""
    scene = promoted_and_unpublished()
    scene.sent.clear()
    scene.down("b")
    says(scene, "b", said("b", left_s=0))
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(100)
    assert ("b", LEASE_S) in opened(scene)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.answers.clear()
    scene.sent.clear()
    scene.run(40)
    assert opened(scene)[:1] == [("b", LEASE_S)]
    assert record(scene, "b").fence is FenceOutcome.CONFIRMED


def test_who_is_being_promoted_and_lapses_where_nobody_renews_gives_way_to_another() -> None:
    scene = armed()
    scene.down("a", for_s=31)
    scene.looked_at_behind = ("b",)
    scene.settle()
    scene.facts["a"] = closed("a")
    scene.run(1)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CHECK]
    scene.voices["b"] = Voice(age_s=60.0)
    scene.now_s += 1.0
    says(scene, "b", said("b", left_s=0))
    scene.settle()
    assert scene.phase("b") is Phase.DEMOTING
    assert any("has a daemon beside it that is not heard" in notice for notice in scene.notices)


@pytest.mark.parametrize("alone", [True, False])
def test_who_could_not_be_opened_is_not_once_more_where_nobody_would_renew_by_now(alone: bool) -> None:
    scene = armed()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.FAILED
    scene.settle()
    scene.facts["a"] = closed("a")
    scene.run(1)
    assert [each.step for each in [scene.state.operation] if each] == [Step.PROMOTE]
    if alone:
        scene.voices["b"] = Voice(age_s=60.0)
    scene.answers.clear()
    scene.sent.clear()
    scene.run(10)
    assert bool(opened(scene)) is not alone
    assert any("nobody would renew its lease" in notice for notice in scene.notices) is alone


def test_who_is_promoted_and_is_closed_by_its_lease_is_opened_again_where_somebody_renews() -> None:
    scene = promoted_and_unpublished()
    scene.sent.clear()
    scene.down("b")
    scene.facts["b"] = said("b", left_s=0)
    scene.step()
    scene.settle()
    scene.facts["b"] = said("b")
    scene.run(1)
    assert opened(scene) == [("b", LEASE_S)]


def test_the_mail_of_who_has_lapsed_is_no_older_than_that() -> None:
    scene = lapsed_at_rescue()
    scene.lags["a", "b"] = replace(scene.lags["a", "b"], seconds=0.0, age_s=5.0)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_cluster_without_leases_orders_none() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    assert opened(scene) == [("b", None)]
    assert scene.phase("b", MAIL) is Phase.IN_SERVICE
