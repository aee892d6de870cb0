"""Nothing is withdrawn when nobody can take over; the finding names the gate and what to type next."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, policy_of

from mailward.controller.core.decide import _situation
from mailward.controller.core.draft import Draft
from mailward.model.decision import Answered, Finding
from mailward.model.orders import ClaimTarget, Result
from mailward.model.policy import Endpoint
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def both_down(scene: Scene) -> None:
    scene.down("b", "imaps", for_s=5)


def other_unreachable(scene: Scene) -> None:
    scene.gone("b", for_s=5)


def other_full(scene: Scene) -> None:
    scene.disk("b", 0)


def other_behind(scene: Scene) -> None:
    scene.lag("a", "b", 412)


def other_unknown(scene: Scene) -> None:
    scene.unknown("b", "submission")


CASES: list[tuple[Callable[[Scene], None], Answered, str, str]] = [
    (both_down, Answered.NO, "b is failed (imaps DOWN: refused at connect)", "mailward explain b"),
    (other_unreachable, Answered.NO, "b is unreachable (smtp DOWN: timeout", "mailward explain b"),
    (other_full, Answered.NO, "b is failed (/var/mail has 0 MiB free", "mailward explain b"),
    (
        other_behind,
        Answered.NO,
        "b is behind by 412 s (1 mailboxes), more than 300 s",
        "mailward failover a --force",
    ),
    (other_unknown, Answered.UNKNOWN, "b is unknown (submission UNKNOWN: ", "mailward explain b"),
]


@pytest.mark.parametrize(("happens", "answer", "reason", "command"), CASES, ids=lambda x: str(x)[:24])
def test_nothing_is_withdrawn(
    happens: Callable[[Scene], None], answer: Answered, reason: str, command: str
) -> None:
    scene = Scene.settled()
    happens(scene)
    scene.down("a", "imaps", for_s=5)
    scene.run(600, every_s=10)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.phase("b") is Phase.IN_SERVICE
    assert not scene.sent
    finding = scene.finding("successor", "a")
    assert finding.answer is answer
    assert finding.reason.startswith(reason)
    assert finding.command == command


def test_nobody_knows_the_lag_and_the_withdrawal_goes_on() -> None:
    """In a hybrid a withdrawal moves no data; clients at a dead server would be the greater evil."""
    scene = Scene.settled()
    scene.lag("a", "b", None)
    scene.down("a", "imaps", for_s=5)
    scene.run(1)
    assert scene.phase("a") is Phase.OUT


def test_a_node_alone_behind_its_endpoint_is_never_withdrawn() -> None:
    endpoint = Endpoint("mail.example.test", ("imaps",), ("a",), 30, ("ns1",))
    scene = Scene.settled(policy_of(endpoints=[endpoint]))
    scene.down("a", "imaps", for_s=5)
    scene.run(60, every_s=5)
    assert scene.phase("a") is Phase.IN_SERVICE
    finding: Finding = scene.finding("successor", "a")
    assert (finding.answer, finding.reason) == (
        Answered.NO,
        "no other node is configured for this endpoint",
    )


def test_of_three_one_fit_successor_is_enough() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.lag("a", "b", 1000)
    scene.unknown("b")
    scene.down("a", "imaps", for_s=5)
    scene.run(1)
    assert scene.phase("a") is Phase.OUT


def test_of_three_every_unfit_one_is_named() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.lag("a", "b", 1000)
    scene.down("c", "imaps")
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    reason = scene.finding("successor", "a").reason
    assert reason.startswith("b is behind by 1000 s")
    assert "; c is failed (" in reason


def test_who_is_well_and_only_taken_out_by_hand_is_named_as_the_remedy() -> None:
    """Found by hand: of a drained node it said to explain it, and nobody was asked to let it in again."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120, every_s=1)
    scene.down("a", "imaps", for_s=5)
    scene.run(60, every_s=5)
    assert (scene.phase("a"), scene.phase("b")) == (Phase.IN_SERVICE, Phase.OUT)
    finding = scene.finding("successor", "a")
    assert (finding.reason, finding.command) == ("b is out, taken out by hand", "mailward readmit b")
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(1)
    assert scene.state.answers[-1].detail.endswith("Try: mailward readmit b")
    scene.ask(RequestKind.READMIT, "b", force=True)
    scene.run(60)
    assert (scene.phase("a"), scene.phase("b")) == (Phase.OUT, Phase.IN_SERVICE)


def test_who_was_taken_out_by_hand_and_is_not_well_is_no_remedy() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120, every_s=1)
    scene.gone("b", for_s=60)
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.finding("successor", "a").command == "mailward explain b"


def test_of_three_who_was_taken_out_by_hand_is_a_better_remedy_than_force() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.ask(RequestKind.DRAIN, "c")
    scene.run(120, every_s=1)
    scene.lag("a", "b", 1000)
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.finding("successor", "a").command == "mailward readmit c"


def test_the_remedy_is_named_also_where_its_name_begins_like_that_of_the_node_that_fails() -> None:
    scene = Scene.settled(policy_of(("a", "ab")))
    scene.ask(RequestKind.DRAIN, "ab")
    scene.run(120, every_s=1)
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.finding("successor", "a").command == "mailward readmit ab"


def test_when_everything_looks_down_the_observer_suspects_itself() -> None:
    """I7."""
    scene = Scene.settled()
    for node in ("a", "b"):
        scene.gone(node, for_s=60)
    scene.run(60, every_s=5)
    assert not scene.sent
    finding = scene.finding("self", "a")
    assert finding.reason == "no node answers anything: the observers may be the ones cut off"


def test_the_endpoints_of_one_node_are_judged_one_by_one() -> None:
    """A without IMAP and B without SMTP has an answer."""
    imap = Endpoint("imap.example.test", ("imaps",), ("a", "b"), 30, ("ns1",))
    smtp = Endpoint("smtp.example.test", ("submission",), ("a", "b"), 30, ("ns1",))
    scene = Scene.settled(policy_of(endpoints=(imap, smtp)))
    scene.down("a", "imaps", for_s=5)
    scene.down("b", "submission", for_s=5)
    scene.run(3)
    phases = {(n, e.name): scene.phase(n, e.name) for n in "ab" for e in (imap, smtp)}
    assert phases == {
        ("a", imap.name): Phase.OUT,
        ("a", smtp.name): Phase.IN_SERVICE,
        ("b", imap.name): Phase.IN_SERVICE,
        ("b", smtp.name): Phase.OUT,
    }


def void_when_given_up(scene: Scene) -> bool:
    """The other node fails: whether the name server then gets a token above that of the last update."""
    publish = [order for order in scene.sent if order.action.kind == "publish"][-1]
    scene.sent.clear()
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    (claim,) = [order for order in scene.sent if isinstance(order.action, ClaimTarget)]
    return claim.token > publish.token


def test_what_a_failover_that_is_given_up_has_sent_is_void_if_it_comes_late() -> None:
    """The other node failed while the update was on its way; late it would take out who serves."""
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.ask(RequestKind.FAILOVER, "a")
    scene.settle()
    assert void_when_given_up(scene)
    assert scene.state.ended[-1].ending is Ending.HANDED_OVER


def test_what_it_sent_before_the_step_at_which_it_is_given_up_is_void_as_well() -> None:
    """The name server did not answer, the failover went on to its fence, and the update was taken later."""
    scene = Scene.settled()
    scene.answers |= {"publish": Result.UNKNOWN, "order-ports": None}
    scene.ask(RequestKind.FAILOVER, "a")
    scene.settle()
    assert scene.state.operation is not None
    assert scene.state.operation.step is Step.FENCE
    assert void_when_given_up(scene)
    assert scene.state.ended[-1].ending is Ending.HANDED_OVER


def test_what_a_mere_repetition_has_sent_is_void_when_it_would_take_out_who_serves() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FAILED
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(65)
    scene.answers["publish"] = None
    scene.run(10)
    assert scene.state.operation is not None
    assert scene.state.operation.kind is Kind.RECONCILE
    assert void_when_given_up(scene)
    assert scene.state.ended[-1].operation.kind is Kind.RECONCILE


def test_a_target_that_was_never_written_to_is_not_claimed_again() -> None:
    scene = Scene.settled()
    (written,) = scene.state.targets
    never = replace(written, published=None, token=None)
    scene.state = replace(scene.state, targets=(never,))
    draft = Draft(_situation(scene.snapshot()))
    draft.void_what_is_unheard()
    assert draft.state.targets == (never,)
