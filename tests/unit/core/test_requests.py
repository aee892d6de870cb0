"""Every request is answered: taken up, refused with the reason, or after waiting for what passes."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, imap_and_smtp, kinds, policy_of

from mailward.controller.core import bounds
from mailward.controller.core.decide import rehearse, waiting
from mailward.model.decision import Decision
from mailward.model.orders import Result
from mailward.model.policy import Automation
from mailward.model.snapshot import Standing
from mailward.model.state import Answer, Cause, Ending, Kind, Phase, Request, RequestKind


def answer(scene: Scene, request: Request) -> Answer | None:
    return next((a for a in scene.state.answers if a.request == request.id), None)


def asked(scene: Scene, kind: RequestKind, node: str = "a", *, force: bool = False) -> tuple[bool, str]:
    """The answer at once."""
    request = scene.ask(kind, node, force=force)
    scene.settle()
    given = answer(scene, request)
    assert given is not None, "no answer"
    return given.accepted, given.detail


def drained() -> Scene:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(35)
    assert scene.phase("a") is Phase.OUT
    return scene


def test_a_failover_by_hand_takes_the_node_out_for_good() -> None:
    scene = Scene.settled()
    accepted, detail = asked(scene, RequestKind.FAILOVER)
    assert accepted
    assert detail.startswith("failover 1-")
    assert kinds(scene.actions()) == ["publish", "order-ports", "verify"]
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert (record.phase, record.cause, record.detail) == (Phase.OUT, Cause.OPERATOR, "ann: because")
    scene.run(600, every_s=30)
    assert scene.phase("a") is Phase.OUT, "an operator's word is undone only by an operator's"


def test_a_drain_unpublishes_waits_for_the_ttl_and_then_closes() -> None:
    scene = Scene.settled()
    assert asked(scene, RequestKind.DRAIN)[0]
    assert kinds(scene.actions()) == ["publish", "verify"]
    scene.run(29)
    assert scene.phase("a") is Phase.DRAINING
    assert "order-ports" not in kinds(scene.actions())
    scene.run(2)
    assert scene.phase("a") is Phase.OUT
    assert kinds(scene.actions())[-1] == "order-ports"
    scene.run(600, every_s=30)
    assert scene.phase("a") is Phase.OUT


def test_readmit_brings_a_drained_node_back() -> None:
    scene = drained()
    assert asked(scene, RequestKind.READMIT)[0]
    assert scene.phase("a") is Phase.IN_SERVICE
    assert kinds(scene.actions())[-3:] == ["order-ports", "publish", "verify"]


def test_an_answer_names_its_operation() -> None:
    scene = Scene.settled()
    request = scene.ask(RequestKind.FAILOVER, "a")
    scene.settle()
    given = answer(scene, request)
    assert given is not None
    assert given.operation == scene.state.ended[-1].operation.id
    assert scene.state.ended[-1].operation.request == request.id


@pytest.mark.parametrize("kind", [kind for kind in RequestKind if kind is not RequestKind.CANCEL])
def test_a_node_that_does_not_exist_is_refused_with_those_that_do(kind: RequestKind) -> None:
    accepted, detail = asked(Scene.settled(), kind, "mial-a")
    assert not accepted
    assert detail == "no node is named 'mial-a'; there are: a, b"


def test_what_is_already_so_is_refused() -> None:
    assert asked(Scene.settled(), RequestKind.READMIT) == (
        False,
        "nothing to do: a is in-service for mail.example.test",
    )
    scene = drained()
    assert asked(scene, RequestKind.DRAIN)[1] == "nothing to do: a is out for mail.example.test"
    assert asked(scene, RequestKind.FAILOVER)[1] == "nothing to do: a is out for mail.example.test"


def test_in_a_cluster_the_command_that_was_probably_meant_is_named() -> None:
    scene = Scene.of_a_cluster()
    assert asked(scene, RequestKind.DRAIN) == (
        False,
        "a serves; to have another take over: mailward switchover b",
    )
    assert asked(scene, RequestKind.FAILOVER, "b") == (
        False,
        "b stands by; to make it serve: mailward switchover b, or if a is broken: mailward failover a",
    )
    scene.down("b")
    assert asked(scene, RequestKind.DRAIN)[1] == (
        "a serves; to have another take over: mailward switchover NODE"
        " (nobody can just now: mailward explain a)"
    )


def test_where_nobody_serves_a_failover_of_a_standby_names_nobody_that_is_broken() -> None:
    scene = Scene.of_a_cluster()
    scene.put_phase("a", Phase.OUT)
    assert asked(scene, RequestKind.FAILOVER, "b") == (
        False,
        "b stands by; to make it serve: mailward switchover b",
    )


def test_a_node_behind_no_endpoint_is_refused() -> None:
    endpoint = replace(policy_of().endpoints[0], nodes=("b",))
    scene = Scene.settled(policy_of(endpoints=[endpoint]))
    assert asked(scene, RequestKind.DRAIN)[1] == "nothing to do: a is behind no endpoint"


def test_the_last_serving_node_is_not_taken_out_even_by_force() -> None:
    scene = drained()
    accepted, detail = asked(scene, RequestKind.FAILOVER, "b", force=True)
    assert not accepted
    assert "last-address: mail.example.test would have no address left on ns1" in detail


def test_force_lifts_the_lag_limit_and_the_refusal_says_so() -> None:
    scene = Scene.settled()
    scene.lag("a", "b", 4000)
    accepted, detail = asked(scene, RequestKind.FAILOVER)
    assert not accepted
    assert "b is behind by 4000 s (1 mailboxes), more than 300 s" in detail
    assert detail.endswith("Try: mailward failover a --force")
    assert asked(scene, RequestKind.FAILOVER, force=True)[0]


def test_a_forced_drain_is_not_rolled_back_for_the_lag_it_was_forced_against() -> None:
    scene = Scene.settled()
    scene.lag("a", "b", 4000)
    assert asked(scene, RequestKind.DRAIN, force=True)[0]
    scene.run(40)
    assert scene.phase("a") is Phase.OUT


def test_force_does_not_wait_for_catching_up() -> None:
    scene = drained()
    scene.lag("b", "a", 4000)
    request = scene.ask(RequestKind.READMIT, "a")
    scene.run(5)
    assert scene.phase("a") is Phase.REJOINING
    forced = scene.ask(RequestKind.READMIT, "a", force=True)
    scene.run(2)
    assert scene.phase("a") is Phase.IN_SERVICE
    first, second = answer(scene, request), answer(scene, forced)
    assert first
    assert second
    assert first.operation != second.operation


def test_an_operation_still_running_is_waited_for_and_then_the_request_is_refused() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.answers["verify"] = Result.FAILED
    assert asked(scene, RequestKind.DRAIN, "a")[0]
    request = scene.ask(RequestKind.DRAIN, "b")
    scene.run(59)
    assert answer(scene, request) is None
    scene.run(2)
    given = answer(scene, request)
    assert given
    assert given.detail == "one-operation: drain of a is at step wait-ttl"


def test_a_claim_under_way_is_waited_for() -> None:
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-target"] = None
    request = scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    assert answer(scene, request) is None
    scene.answers.clear()
    scene.run(15)
    given = answer(scene, request)
    assert given
    assert given.accepted


def test_a_target_out_of_reach_ends_in_a_refusal() -> None:
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    scene.details["claim-target"] = "ns1: no route to host"
    request = scene.ask(RequestKind.FAILOVER, "a")
    scene.run(61)
    given = answer(scene, request)
    assert given
    assert given.detail == "claimed: not claimed in this epoch: ns1 (ns1: no route to host)"


def test_a_failover_by_hand_goes_before_planned_work_at_once() -> None:
    """The drained node is out either way: it is not published again in between."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    assert scene.phase("a") is Phase.DRAINING
    assert asked(scene, RequestKind.FAILOVER)[0]
    assert scene.phase("a") is Phase.OUT
    assert [e.ending for e in scene.state.ended[-2:]] == [Ending.ROLLED_BACK, Ending.DONE]
    published = [a.rrsets[0].values for a in scene.actions() if a.kind == "publish"]
    assert set(published) == {("192.0.2.11",)}


def test_a_failover_by_hand_does_not_go_before_a_failover_that_runs() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    request = scene.ask(RequestKind.FAILOVER, "b")
    scene.settle()
    assert answer(scene, request) is None
    scene.answers.clear()
    scene.run(12)
    given = answer(scene, request)
    assert given
    assert given.accepted


def test_a_request_covers_every_endpoint_of_the_node_that_is_in_that_phase() -> None:
    scene = Scene.settled(policy_of(endpoints=imap_and_smtp()))
    scene.down("a", "submission", for_s=5)
    scene.run(3)
    assert (scene.phase("a", MAIL), scene.phase("a", "imap.example.test")) == (Phase.OUT, Phase.IN_SERVICE)
    assert asked(scene, RequestKind.DRAIN)[0]
    assert scene.state.operation is not None
    assert scene.state.operation.endpoints == ("imap.example.test",)


@pytest.mark.parametrize("at", ["out", "rejoining", "promoting"])
def test_a_failover_by_hand_keeps_out_what_automation_would_let_in_again(at: str) -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    if at != "out":
        scene.lag("a", "b", 90.0)
        scene.up("a", for_s=60)
        scene.run(3)
    if at == "promoting":
        scene.lag("a", "b", 0.0)
        scene.looked_at_behind = ("a",)
        scene.run(2)
    assert scene.phase("a") == at
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(90)
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert (record.phase, record.cause) == (Phase.OUT, Cause.OPERATOR)
    assert asked(scene, RequestKind.FAILOVER) == (False, "nothing to do: a is out for mail.example.test")


def test_a_rehearsal_takes_for_claimed_what_a_fresh_install_would_claim_first() -> None:
    scene = Scene(policy_of(automation=Automation.OBSERVE))
    scene.run(2)
    scene.ask(RequestKind.DRAIN, "a")
    (given,) = rehearse(scene.snapshot()).state.answers
    assert given.accepted
    assert scene.look().state.answers == ()


@pytest.mark.parametrize(("node", "accepted"), [("a", True), ("c", False)])
def test_a_rehearsal_of_who_follows_is_that_of_who_leads(node: str, accepted: bool) -> None:
    scene = Scene.settled()
    scene.standing = Standing.FOLLOWING
    scene.ask(RequestKind.DRAIN, node)
    (given,) = rehearse(scene.snapshot()).state.answers
    assert given.accepted is accepted
    assert scene.look().state.answers == ()


def test_a_person_who_insists_is_not_held_by_a_pause() -> None:
    scene = Scene.settled()
    scene.paused()
    assert not asked(scene, RequestKind.FAILOVER)[0]
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(5)
    assert scene.phase("a") is Phase.OUT


def test_requests_are_taken_up_oldest_first() -> None:
    scene = Scene.settled()
    late = scene.ask(RequestKind.FAILOVER, "b")
    early = replace(late, id="zz", node="a", at=replace(late.at, wall_s=late.at.wall_s - 5))
    scene.requests.append(early)
    scene.settle()
    first, second = answer(scene, early), answer(scene, late)
    assert first
    assert first.accepted
    assert second
    assert not second.accepted


def test_a_hundred_requests_at_once_are_all_answered_and_the_first_is_not_forgotten() -> None:
    scene = Scene.settled()
    first = scene.ask(RequestKind.FAILOVER, "a")
    for _ in range(99):
        scene.ask(RequestKind.READMIT, "b")
    seen: dict[str, Answer] = {}
    for _ in range(10):
        scene.step()
        seen |= {a.request: a for a in scene.state.answers}
        assert len(scene.state.answers) <= bounds.ANSWERS
    assert len(seen) == 100
    assert seen[first.id].accepted


def test_a_controller_that_only_observes_refuses_every_request() -> None:
    """Nobody else will ever answer: `local` on a mail node has no other controller."""
    scene = Scene.settled()
    scene.standing = Standing.OBSERVING_ONLY
    accepted, detail = asked(scene, RequestKind.FAILOVER)
    assert not accepted
    assert "only observes" in detail
    assert scene.sent == []


def test_a_follower_leaves_requests_to_the_leader() -> None:
    scene = Scene.settled()
    scene.standing = Standing.FOLLOWING
    scene.ask(RequestKind.FAILOVER, "a")
    before = scene.state
    decision: Decision = scene.step()
    assert decision.state == before
    assert decision.explanations


def test_a_leader_without_time_left_does_nothing() -> None:
    scene = Scene.settled()
    scene.may_act_until_s = scene.now_s
    scene.down("a", "imaps", for_s=5)
    scene.ask(RequestKind.FAILOVER, "a")
    before = scene.state
    assert scene.step().state == before
    scene.may_act_until_s += 0.001
    assert scene.step().state.operation is not None


def test_a_paused_cluster_refuses_at_once() -> None:
    scene = Scene.settled()
    scene.paused()
    assert asked(scene, RequestKind.DRAIN)[1] == (
        "pause: paused by ann for 600 s more: maintenance. Try: mailward resume"
    )


def test_an_unreadable_reason_does_not_grow_the_state() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.FAILOVER, "a", reason="x" * 10**6)
    scene.settle()
    assert len(str(scene.state)) < 20_000
    assert scene.state.ended[-1].operation.kind is Kind.FAILOVER


def test_no_two_operations_have_the_same_name() -> None:
    """Not even where an operation sends nothing before the next one begins."""
    endpoint = replace(policy_of().endpoints[0], targets=())
    scene = Scene.settled(policy_of(endpoints=[endpoint]))
    scene.ask(RequestKind.DRAIN, "a")
    scene.step()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.settle()
    drained, failed_over = (given.operation for given in scene.state.answers)
    assert drained != failed_over


def test_what_is_not_known_yet_is_waited_for_a_moment() -> None:
    """After a drain has closed the ports nothing is known until the first probe behind them; a readmit
    asked for then must not be refused for that."""
    scene = Scene.settled()
    scene.unknown("b")
    request = scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    assert answer(scene, request) is None
    scene.up("b", for_s=60)
    scene.run(1)
    given = answer(scene, request)
    assert given
    assert given.accepted


def test_what_stays_unknown_ends_in_a_refusal() -> None:
    scene = Scene.settled()
    scene.unknown("b")
    request = scene.ask(RequestKind.DRAIN, "a")
    scene.run(11)
    given = answer(scene, request)
    assert given
    assert not given.accepted
    assert "successor: b is unknown" in given.detail


def test_while_its_ports_are_just_being_closed_nothing_seen_of_a_node_refuses_a_readmission() -> None:
    """It seems to fail: some of its ports are closed already."""
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.UNKNOWN
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(60)
    assert scene.phase("a") is Phase.OUT
    scene.down("a", "imaps")
    request = scene.ask(RequestKind.READMIT, "a")
    scene.run(20)
    assert answer(scene, request) is None
    assert waiting(scene.snapshot())[request.id].startswith(
        "fence: its client ports are not known to be closed"
    )
    scene.answers.clear()
    scene.up("a", for_s=60)
    scene.run(30)
    given = answer(scene, request)
    assert given
    assert given.accepted


def test_where_nobody_can_close_its_ports_a_readmission_is_refused_at_once() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.UNKNOWN
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(60)
    assert scene.phase("a") is Phase.OUT
    scene.facts["a"] = None
    scene.down("a", "imaps")
    request = scene.ask(RequestKind.READMIT, "a")
    scene.settle()
    given = answer(scene, request)
    assert given
    assert "helper: mailward-node does not answer" in given.detail
