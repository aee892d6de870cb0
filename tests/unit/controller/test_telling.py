"""What the log says of a recorded decision: a sentence for each thing that changed, none for the rest."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, STORE, Scene

from mailward.controller.telling import told
from mailward.model.clock import Moment
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, Scope
from mailward.model.orders import Result
from mailward.model.state import (
    Answer,
    Attempt,
    Cause,
    Ended,
    Ending,
    HelperRecord,
    Kind,
    Operation,
    Phase,
    PhaseRecord,
    PortsRecord,
    PowerRecord,
    State,
    Step,
    TargetRecord,
)
from mailward.model.token import Token

NOW = Moment("boot", 100.0, 1_700_000_000.0)
LATER = Moment("boot", 200.0, 1_700_000_100.0)
TOKEN = Token(STORE, 3, 7)
EMPTY = State(STORE, 3)
FAILOVER = Operation(
    "f1", Kind.FAILOVER, "mail-a", (MAIL,), Step.PUBLISH, NOW, NOW, Cause.SERVICE, "imaps is DOWN", 120
)
RUNNING = replace(EMPTY, operation=FAILOVER)
OUT = PhaseRecord("mail-a", MAIL, Phase.OUT, NOW, Cause.SERVICE, "imaps DOWN")


def attempted(result: Result | None, tries: int = 1, detail: str = "no answer") -> State:
    attempt = Attempt("publish:ns1", tries, NOW, result, detail)
    return replace(EMPTY, operation=replace(FAILOVER, attempts=(attempt,)))


def fenced(outcome: FenceOutcome, detail: str, token: Token = TOKEN) -> State:
    ports = {"smtp": OPEN, "imaps": CLOSED}
    return replace(EMPTY, ports=(PortsRecord("mail-a", token, ports, outcome, Scope.USERS, NOW, detail),))


def test_nothing_is_told_of_what_did_not_change() -> None:
    ended = (Ended(FAILOVER, Ending.DONE, NOW),)
    whole = replace(
        fenced(FenceOutcome.CONFIRMED, "refused from outside"),
        operation=attempted(Result.FAILED).operation,
        phases=(OUT,),
        targets=(TargetRecord("ns1", claimed=TOKEN),),
        helpers=(HelperRecord("mail-a", claimed=TOKEN),),
        ended=ended,
        answers=(Answer("r1", True, "taken up", NOW),),
    )
    assert told(whole, whole) == ()
    assert told(whole, replace(whole, seq=9, tallies={"a": 1})) == ()


def test_a_step_of_a_whole_run_is_told_once() -> None:
    scene = Scene()
    before = scene.state
    scene.step()
    assert told(before, scene.state) != ()
    assert told(scene.state, scene.state) == ()


def test_a_new_epoch_is_told_with_its_store() -> None:
    assert told(State(STORE, 2), EMPTY) == (f"leading with epoch 3 of store {STORE}",)


def test_a_claim_is_told_when_it_is_taken_and_when_it_rises() -> None:
    claimed = replace(
        EMPTY,
        targets=(TargetRecord("ns1", claimed=TOKEN), TargetRecord("ns2")),
        helpers=(HelperRecord("mail-a", claimed=TOKEN), HelperRecord("mail-b")),
    )
    assert told(EMPTY, claimed) == (
        f"claimed DNS target ns1 with {STORE}.3.7",
        f"claimed the helper of mail-a with {STORE}.3.7",
    )
    higher = replace(claimed, targets=(TargetRecord("ns1", claimed=Token(STORE, 3, 8)),))
    assert told(claimed, higher) == (f"claimed DNS target ns1 with {STORE}.3.8",)


def test_a_phase_is_told_with_its_cause_where_there_is_one() -> None:
    serving = PhaseRecord("mail-a", MAIL, Phase.IN_SERVICE, NOW)
    in_service, out = replace(EMPTY, phases=(serving,)), replace(EMPTY, phases=(OUT,))
    assert told(EMPTY, in_service) == (f"mail-a is in-service for {MAIL}",)
    assert told(in_service, out) == (f"mail-a is out for {MAIL}: service-failed (imaps DOWN)",)
    still = replace(EMPTY, phases=(replace(OUT, detail="imaps DOWN for long"),))
    assert told(out, still) == ()


def test_an_operation_is_told_when_it_starts_with_its_row_and_first_step() -> None:
    assert told(EMPTY, RUNNING) == (
        "failover f1 of mail-a started (row 120): imaps is DOWN",
        "failover f1 of mail-a: step publish",
    )


def test_an_operation_by_request_has_no_row_and_one_without_a_node_is_of_the_dns() -> None:
    drain = replace(FAILOVER, id="d1", kind=Kind.DRAIN, reason="work", row=0)
    assert told(EMPTY, replace(EMPTY, operation=drain))[0] == "drain d1 of mail-a started: work"
    repeat = replace(FAILOVER, id="r1", kind=Kind.RECONCILE, node="", reason="drift")
    assert told(EMPTY, replace(EMPTY, operation=repeat))[0] == "reconcile r1 of DNS started (row 120): drift"


def test_each_next_step_is_told() -> None:
    fencing = replace(EMPTY, operation=replace(FAILOVER, step=Step.FENCE))
    assert told(RUNNING, fencing) == ("failover f1 of mail-a: step fence",)


def test_an_action_is_told_when_it_fails_and_each_time_again_but_not_when_it_is_done_or_out() -> None:
    assert told(RUNNING, attempted(None)) == ()
    assert told(attempted(None), attempted(Result.DONE)) == ()
    failed = ("failover f1 of mail-a: publish:ns1 UNKNOWN: no answer",)
    assert told(attempted(None), attempted(Result.UNKNOWN)) == failed
    assert told(attempted(Result.UNKNOWN), attempted(Result.UNKNOWN, tries=2)) == failed
    assert told(attempted(Result.UNKNOWN), attempted(Result.UNKNOWN)) == ()


def test_the_same_failure_in_another_step_is_told_again() -> None:
    before = attempted(Result.FAILED)
    assert before.operation is not None
    after = replace(before, operation=replace(before.operation, step=Step.FENCE))
    assert told(before, after) == (
        "failover f1 of mail-a: step fence",
        "failover f1 of mail-a: publish:ns1 FAILED: no answer",
    )


def test_an_ending_is_told_with_the_step_it_came_to() -> None:
    def over(ending: Ending, detail: str = "") -> State:
        return replace(EMPTY, ended=(Ended(FAILOVER, ending, LATER, detail),))

    assert told(RUNNING, over(Ending.DONE)) == ("failover f1 of mail-a done at step publish",)
    assert told(RUNNING, over(Ending.HANDED_OVER, "ns1 refuses")) == (
        "failover f1 of mail-a handed-over at step publish: ns1 refuses",
    )
    assert told(over(Ending.DONE), over(Ending.DONE)) == ()


def test_an_ending_is_told_before_what_starts_next() -> None:
    drain = replace(FAILOVER, id="d1", kind=Kind.DRAIN, row=0, reason="work")
    after = replace(EMPTY, operation=drain, ended=(Ended(FAILOVER, Ending.ROLLED_BACK, LATER),))
    assert told(RUNNING, after) == (
        "failover f1 of mail-a rolled-back at step publish",
        "drain d1 of mail-a started: work",
        "drain d1 of mail-a: step publish",
    )


def test_ports_are_told_once_they_are_answered() -> None:
    ordered, confirmed = fenced(FenceOutcome.UNKNOWN, ""), fenced(FenceOutcome.CONFIRMED, "refused")
    assert told(EMPTY, ordered) == ()
    said = ("client ports of mail-a CONFIRMED: imaps closed, smtp open (refused)",)
    assert told(ordered, confirmed) == said
    assert told(EMPTY, confirmed) == said
    assert told(confirmed, fenced(FenceOutcome.CONFIRMED, "refused", Token(STORE, 3, 8))) == said
    assert told(ordered, fenced(FenceOutcome.UNKNOWN, "no hello")) == (
        "client ports of mail-a UNKNOWN: imaps closed, smtp open (no hello)",
    )


def test_power_is_told_once_it_is_answered_and_when_who_was_off_is_not_any_more() -> None:
    def power(off: FenceOutcome, detail: str, token: Token = TOKEN) -> State:
        return replace(EMPTY, power=(PowerRecord("mail-a", token, off, NOW, 40.0, detail),))

    ordered, off = power(FenceOutcome.UNKNOWN, ""), power(FenceOutcome.CONFIRMED, "it reads off")
    unanswered = power(FenceOutcome.UNKNOWN, "no answer in time")
    said = ("mail-a was switched off, read back off (it reads off)",)
    assert told(EMPTY, ordered) == told(off, off) == told(ordered, EMPTY) == ()
    assert told(ordered, off) == told(EMPTY, off) == said
    assert told(off, power(FenceOutcome.CONFIRMED, "it reads off", Token(STORE, 3, 8))) == said
    assert told(ordered, unanswered) == ("mail-a is not known to be off, UNKNOWN (no answer in time)",)
    assert told(ordered, power(FenceOutcome.FAILED, "no such program")) == (
        "mail-a is not known to be off, FAILED (no such program)",
    )
    assert told(off, EMPTY) == ("mail-a does not count as switched off any more",)
    assert told(unanswered, EMPTY) == ()


def test_an_answer_to_a_request_is_told_once() -> None:
    accepted = replace(EMPTY, answers=(Answer("r1", True, "taken up as d1", NOW),))
    assert told(EMPTY, accepted) == ("request r1 accepted: taken up as d1",)
    refused = replace(EMPTY, answers=(*accepted.answers, Answer("r2", False, "mail-b is DOWN", NOW)))
    assert told(accepted, refused) == ("request r2 refused: mail-b is DOWN",)
