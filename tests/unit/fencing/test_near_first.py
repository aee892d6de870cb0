"""A lease is renewed on the node itself first, and over SSH where that does not answer."""

import asyncio
from dataclasses import dataclass, field

import pytest

from mailward.fencing.near import NearFirst
from mailward.model.fencing import HelperAnswer, HelperReply
from mailward.model.token import Token

TOKEN = Token("0123456789ab", 1, 1)
UNKNOWN = HelperAnswer(HelperReply.UNKNOWN, detail="sudo: a password is required")


@dataclass
class Way:
    answer: HelperAnswer | None
    renewed: list[Token] = field(default_factory=list)

    async def renew(self, token: Token) -> HelperAnswer:
        self.renewed.append(token)
        if self.answer is None:
            await asyncio.sleep(60)
        assert self.answer is not None
        return self.answer


@pytest.mark.parametrize("reply", [HelperReply.OBEYED, HelperReply.LAPSED, HelperReply.STALE])
async def test_who_answers_on_this_host_is_believed(reply: HelperReply) -> None:
    near, far = Way(HelperAnswer(reply)), Way(HelperAnswer(HelperReply.OBEYED))
    assert (await NearFirst(near, far, 1.0).renew(TOKEN)).reply is reply
    assert (near.renewed, far.renewed) == ([TOKEN], [])


@pytest.mark.parametrize("answer", [UNKNOWN, None], ids=["fails", "hangs"])
async def test_where_it_does_not_answer_the_other_way_is_gone(answer: HelperAnswer | None) -> None:
    near, far = Way(answer), Way(HelperAnswer(HelperReply.OBEYED))
    assert (await NearFirst(near, far, 0.01).renew(TOKEN)).reply is HelperReply.OBEYED
    assert (near.renewed, far.renewed) == ([TOKEN], [TOKEN])


async def test_what_nobody_has_answered_names_both_ways() -> None:
    lost = HelperAnswer(HelperReply.UNKNOWN, detail="ssh: no route")
    answer = await NearFirst(Way(UNKNOWN), Way(lost), 1.0).renew(TOKEN)
    assert answer.reply is HelperReply.UNKNOWN
    assert answer.detail == "on this host: sudo: a password is required; over SSH: ssh: no route"
