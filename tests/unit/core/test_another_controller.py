"""Another controller leads, or our own store is an old copy: nothing is done, and a person is told (I14).

Who is superseded learns it from what targets and helpers remember.
"""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, STORE, Scene, facts, kinds, policy_of

from mailward.model.orders import ClaimHelper, ClaimTarget, Outcome, Result
from mailward.model.policy import Endpoint
from mailward.model.state import Phase, RequestKind
from mailward.model.token import SPANS, Sent, Token


def test_a_foreign_target_stops_the_controller_with_a_way_out() -> None:
    """I14."""
    scene = Scene()
    scene.answers["claim-target"] = Result.FOREIGN
    scene.details["claim-target"] = "it holds ffffffffffff.3.1"
    scene.step()
    decision = scene.look()
    assert "DNS target ns1 belongs to another store (it holds ffffffffffff.3.1)" in decision.fatal
    assert "mailward state init --adopt" in decision.fatal
    assert decision.send == ()


def test_a_target_that_turns_foreign_under_a_publication_stops_it_too() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FOREIGN
    scene.down("a", "imaps", for_s=5)
    scene.step()
    assert "belongs to another store" in scene.look().fatal


def test_one_stale_claim_may_be_a_late_order_three_are_somebody_else() -> None:
    scene = Scene()
    scene.answers["claim-target"] = Result.STALE
    scene.details["claim-target"] = "the token there is 0123456789ab.9.1"
    scene.run(0.5)
    assert not scene.notices
    scene.run(5)
    assert any("another controller leads this cluster" in notice for notice in scene.notices)
    finding = scene.finding("claimed", "a")
    assert "the token there is 0123456789ab.9.1" in finding.reason
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}


def test_a_stale_publication_has_its_target_claimed_anew() -> None:
    """A higher token appeared in mid-epoch: publishing again and again would tell nobody why."""
    scene = Scene.settled()
    scene.answers["publish"] = Result.STALE
    scene.answers["claim-target"] = Result.STALE
    scene.down("a", "imaps", for_s=5)
    scene.run(20)
    assert any("another controller leads this cluster" in notice for notice in scene.notices)
    assert kinds(scene.actions()).count("publish") == 1
    assert scene.look().superseded


def test_who_has_been_superseded_claims_no_more_and_does_nothing_not_even_when_started_anew() -> None:
    """Each claim has a higher token: repeated for ever, or after each restart, one would overtake whoever
    has every right."""
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-target"] = Result.STALE
    scene.run(30)
    assert scene.look().superseded
    scene.answers.clear()
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120)
    assert scene.sent == []
    (given,) = scene.state.answers
    assert (given.accepted, given.detail) == (
        False,
        "another controller leads this cluster, or this store is an old copy",
    )
    scene.restarted()
    scene.run(5)
    assert scene.sent == []
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.look().superseded


def test_a_store_restored_from_a_backup_is_found_out_by_what_a_target_remembers() -> None:
    """Its state may be anything that was once true: what was drained since would be let in."""
    scene = Scene.settled()
    backup = scene.state
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120)
    remembered = scene.state.target("ns1").token
    assert remembered is not None
    assert not backup.target("ns1").sent.explains(remembered, remembered.epoch)
    scene.state = backup
    scene.restarted()
    scene.answers["claim-target"] = Result.AHEAD
    scene.details["claim-target"] = f"it remembers {remembered}, which this store never sent"
    scene.sent.clear()
    scene.run(5)
    assert f"remembers {remembered}, which this store never sent" in scene.look().superseded
    claim = next(action for action in scene.actions() if isinstance(action, ClaimTarget))
    assert claim.sent == backup.target("ns1").sent
    scene.answers.clear()
    scene.restarted()
    scene.down("a", "imaps", for_s=5)
    scene.run(60)
    assert "publish" not in kinds(scene.actions())


def test_a_store_restored_from_a_backup_is_found_out_by_what_a_helper_remembers() -> None:
    scene = Scene.settled()
    sent = scene.state.helper("b").sent
    assert sent.last is not None
    scene.facts["b"] = replace(facts("b"), token=sent.last)
    assert not scene.look().superseded
    scene.facts["b"] = replace(facts("b"), token=replace(sent.last, seq=sent.last.seq + 1))
    scene.restarted()
    scene.sent.clear()
    scene.run(5)
    assert scene.sent == []
    assert "mailward-node on b remembers" in scene.look().superseded


def test_nobody_remembers_an_epoch_that_is_still_to_come_not_even_who_was_never_written_to() -> None:
    """Found by simulation: restored from a backup older than what it had sent to a helper, a store waited for
    its own epochs to come to what that one remembered."""
    scene = Scene()
    scene.step()
    now = Token(scene.state.store_id, scene.state.epoch, 1)
    scene.facts["b"] = replace(facts("b"), token=now)
    assert not scene.look().superseded
    scene.facts["b"] = replace(facts("b"), token=replace(now, epoch=now.epoch + 1))
    assert "mailward-node on b remembers" in scene.look().superseded


def test_a_claim_that_was_certainly_not_sent_explains_nothing() -> None:
    """Epochs may come again with an old store: a target long out of reach remembered a token of the same
    epoch, and of a seq that had meanwhile been spent on claims which never left."""
    scene = Scene.settled()
    before = scene.state.target("ns1").sent
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    scene.never_leave = {"claim-target"}
    scene.run(30)
    assert scene.state.target("ns1").sent == before


def test_a_claim_that_was_refused_is_remembered_as_sent() -> None:
    """A frozen zone refused it; it came once more, late, when the zone could be written to again, and a
    healthy controller stopped for good: its name server remembered what it thought it had never sent."""
    scene = Scene.settled()
    scene.restarted()
    scene.sent.clear()
    scene.answers["claim-target"] = Result.FAILED
    scene.step()
    (claim,) = [order.token for order in scene.sent if order.action.kind == "claim-target"]
    scene.run(30)
    assert scene.state.target("ns1").sent.explains(claim, scene.state.epoch)


def test_a_helper_is_not_claimed_before_it_is_known_what_it_remembers() -> None:
    scene = Scene.settled()
    scene.restarted()
    scene.sent.clear()
    scene.facts["a"] = None
    scene.run(2)
    assert [a.node for a in scene.actions() if isinstance(a, ClaimHelper)] == ["b"]


def test_what_an_earlier_leader_sent_without_an_answer_is_no_sign_of_another() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    ordered = scene.state.ports_of("a")
    assert ordered is not None
    scene.restarted()
    scene.facts["a"] = replace(facts("a"), token=ordered.token)
    scene.answers.clear()
    scene.run(30)
    assert not scene.look().superseded
    assert scene.state.operation is None


def test_who_has_been_superseded_fences_nobody_any_more() -> None:
    scene = Scene.settled()
    scene.answers = {"publish": Result.STALE, "claim-target": Result.STALE}
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    assert scene.look().superseded
    scene.run(150)
    assert "order-ports" not in kinds(scene.actions())


def sent(*arrivals: int, upto: int) -> Sent:
    """Tokens one to `upto` were sent, in their order; then some are known to have arrived."""
    found = Sent()
    for seq in range(1, upto + 1):
        found = found.sending(Token(STORE, 7, seq))
    for seq in arrivals:
        found = found.arrived(Token(STORE, 7, seq))
    return found


@pytest.mark.parametrize(
    ("record", "explained"),
    [
        (sent(upto=0), (1, 2, 3, 4)),
        (sent(upto=3), (1, 2, 3)),
        (sent(1, upto=3), (1, 2, 3)),
        (sent(2, upto=3), (1, 2, 3)),
        (sent(3, upto=3), (1, 2, 3)),
        (sent(1, 2, upto=3), (1, 2, 3)),
        (sent(3, 1, upto=3), (1, 2, 3)),
        (sent(1, upto=1), (1,)),
    ],
)
def test_all_that_was_sent_is_explained_and_nothing_else(record: Sent, explained: tuple[int, ...]) -> None:
    assert tuple(n for n in (1, 2, 3, 4) if record.explains(Token(STORE, 7, n), 7)) == explained
    assert not record.explains(Token(STORE, 8, 1), 7)


def test_claims_of_several_epochs_explain_nothing_between_them() -> None:
    """A copy was started three times, killed each time before its claim was answered."""
    record = Sent(Token(STORE, 7, 5))
    for epoch in (8, 9, 10):
        record = record.sending(Token(STORE, epoch, 1))
    assert [record.explains(Token(STORE, epoch, 1), 10) for epoch in (7, 8, 9, 10)] == [True] * 4
    assert not record.explains(Token(STORE, 8, 2), 10)
    assert not record.explains(Token(STORE, 9, 13), 10)


def test_of_very_many_epochs_without_an_answer_every_token_is_explained_still() -> None:
    record = Sent(Token(STORE, 1, 1))
    for epoch in range(2, 60):
        record = record.sending(Token(STORE, epoch, 1))
    assert len(record.unheard) <= SPANS
    assert all(record.explains(Token(STORE, epoch, 1), 60) for epoch in range(2, 60))
    assert not record.explains(Token(STORE, 60, 1), 60)


def test_a_store_that_never_sent_anything_explains_what_was_there_before_it_was_made() -> None:
    scene = Scene()
    scene.state = replace(scene.state, epoch=6, made_epoch=6)
    scene.epoch = 9
    for remembered, known in ((6, False), (7, True)):
        scene.facts["b"] = replace(facts("b"), token=Token(STORE, remembered, 1))
        assert bool(scene.look().superseded) is known


def test_a_target_is_claimed_with_what_it_may_remember_from_before_the_store_was_made() -> None:
    scene = Scene()
    scene.state = replace(scene.state, made_epoch=0)
    scene.step()
    (claim,) = [action for action in scene.actions() if isinstance(action, ClaimTarget)]
    assert claim.sent == Sent(made=0)


def test_a_copy_from_before_anything_was_sent_is_found_out_however_often_it_is_started() -> None:
    """It says in which epoch it was made. Each start raised its epoch, until it was above what was
    remembered: then it opened a node that had been drained by hand."""
    scene = Scene()
    copy = scene.state = replace(scene.state, made_epoch=0)
    scene.run(5)
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(60)
    assert scene.phase("a") is Phase.OUT
    remembered = scene.state.helper("a").sent.last
    assert remembered is not None
    scene.state, scene.epoch = copy, 9
    scene.restarted()
    scene.facts["a"] = replace(facts("a"), token=remembered)
    scene.sent.clear()
    scene.run(5)
    assert "remembers" in scene.look().superseded
    assert {kind for kind in kinds(scene.actions()) if not kind.startswith("claim")} == set()


def test_an_answer_to_an_early_order_does_not_make_a_stranger_of_a_later_one() -> None:
    """Found by reading: three orders were out to one helper; when the first was answered the second was taken
    for somebody else's, and a healthy controller stopped for good."""
    both = (
        Endpoint("imap.example.test", ("imaps",), ("a", "b"), 30, ("ns1",)),
        Endpoint(MAIL, ("submission",), ("a", "b"), 30, ("ns1",)),
    )
    scene = Scene.settled(policy_of(endpoints=both))
    scene.restarted()
    scene.answers = {"claim-helper": None, "order-ports": None}
    scene.down("a", "submission", for_s=60)
    scene.settle()
    scene.now_s += 1
    scene.down("a", "imaps", for_s=60)
    for _ in range(6):
        scene.step()
    to_a = [o for o in scene.sent if getattr(o.action, "node", "") == "a"]
    claim, first, _second = to_a
    scene.outcomes = [Outcome(claim.token, Result.DONE, scene.now, "")]
    scene.step()
    scene.facts["a"] = replace(facts("a"), token=first.token)
    scene.step(0.1)
    assert not scene.look().superseded
