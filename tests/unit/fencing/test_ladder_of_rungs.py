"""The ladder: first CONFIRMED wins; UNKNOWN is told before FAILED."""

from __future__ import annotations

import pytest

from mailward.fencing.ladder import Ladder
from mailward.model.fencing import (
    CLOSED,
    PLAIN,
    FenceOutcome,
    FenceResult,
    HelperAnswer,
    HelperReply,
    PortMap,
    Scope,
    Terms,
)
from mailward.model.token import Token

TOKEN = Token("abcdef01", 1, 1)


class Rung:
    def __init__(self, name: str, outcome: FenceOutcome, reply: HelperReply = HelperReply.OBEYED) -> None:
        self.name, self.outcome, self.reply, self.asked = name, outcome, reply, 0

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult:
        self.asked += 1
        return FenceResult(self.outcome, self.name, Scope.NONE, "why")

    async def claim(self, token: Token) -> HelperAnswer:
        self.asked += 1
        return HelperAnswer(self.reply)


async def order(*rungs: Rung) -> FenceResult:
    return await Ladder(rungs).order(TOKEN, {"imaps": CLOSED})


async def test_a_confirmed_rung_ends_the_climb() -> None:
    first, second = Rung("local", FenceOutcome.CONFIRMED), Rung("ssh", FenceOutcome.CONFIRMED)
    assert (await order(first, second)).rung == "local"
    assert second.asked == 0


async def test_the_next_rung_is_tried_after_failed_and_after_unknown() -> None:
    failed, unknown = Rung("a", FenceOutcome.FAILED), Rung("b", FenceOutcome.UNKNOWN)
    assert (await order(failed, unknown, Rung("c", FenceOutcome.CONFIRMED))).rung == "c"


async def test_unknown_is_told_before_failed_with_all_reasons() -> None:
    result = await order(Rung("a", FenceOutcome.FAILED), Rung("b", FenceOutcome.UNKNOWN))
    assert (result.outcome, result.rung, result.detail) == (FenceOutcome.UNKNOWN, "b", "a: why; b: why")


async def test_a_claim_goes_to_the_first_rung_that_answers() -> None:
    rungs = [
        Rung("a", FenceOutcome.FAILED, HelperReply.UNKNOWN),
        Rung("b", FenceOutcome.FAILED, HelperReply.STALE),
        Rung("c", FenceOutcome.FAILED),
    ]
    assert (await Ladder(rungs).claim(TOKEN)).reply is HelperReply.STALE
    assert rungs[2].asked == 0


def test_a_ladder_without_rungs_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="fences nothing"):
        Ladder([])
