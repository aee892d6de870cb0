"""The ladder: a node's rungs, tried in order until one is CONFIRMED.

FAILED says that nothing was done there and UNKNOWN that something may have been; so of all that was
tried the ladder answers UNKNOWN before FAILED. Here are the rungs that carry a token; what else
belongs on it (`agent`, `lease`, `human`) is of other kinds and not built yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailward.model.fencing import (
    PLAIN,
    FenceOutcome,
    FenceResult,
    HelperAnswer,
    HelperReply,
    PortMap,
    Terms,
)
from mailward.model.ports import Fence
from mailward.model.token import Token


class Ladder:
    """One node's `Fence`. `rungs` has the surest and fastest first."""

    def __init__(self, rungs: Sequence[Fence]) -> None:
        if not rungs:
            raise ValueError("a ladder without rungs fences nothing")
        self._rungs = tuple(rungs)

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult:
        results: list[FenceResult] = []
        for rung in self._rungs:
            result = await rung.order(token, ports, terms)
            if result.outcome is FenceOutcome.CONFIRMED:
                return result
            results.append(result)
        best = next((each for each in results if each.outcome is FenceOutcome.UNKNOWN), results[0])
        detail = "; ".join(f"{each.rung}: {each.detail}" for each in results)
        return FenceResult(best.outcome, best.rung, best.scope, detail if len(results) > 1 else best.detail)

    async def claim(self, token: Token) -> HelperAnswer:
        """The first rung that reaches the helper; UNKNOWN when none does."""
        answer = HelperAnswer(HelperReply.UNKNOWN)
        for rung in self._rungs:
            answer = await rung.claim(token)
            if answer.reply is not HelperReply.UNKNOWN:
                break
        return answer
