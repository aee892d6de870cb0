"""A lease is renewed on the node itself, and by another way where that does not answer."""

import asyncio

from mailward.model.fencing import HelperAnswer, HelperReply
from mailward.model.ports import Renewer
from mailward.model.token import Token


class NearFirst:
    """`near`, for up to `near_s`, then `far`. To renew twice does no harm: it is bound to its token, and what
    comes late is void."""

    def __init__(self, near: Renewer, far: Renewer, near_s: float) -> None:
        self._near = near
        self._far = far
        self._near_s = near_s

    async def renew(self, token: Token) -> HelperAnswer:
        try:
            async with asyncio.timeout(self._near_s):
                answer = await self._near.renew(token)
        except TimeoutError:
            answer = HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer within {self._near_s:g} s")
        if answer.reply is not HelperReply.UNKNOWN:
            return answer
        other = await self._far.renew(token)
        if other.reply is not HelperReply.UNKNOWN:
            return other
        return HelperAnswer(
            HelperReply.UNKNOWN, detail=f"on this host: {answer.detail}; over SSH: {other.detail}"
        )
