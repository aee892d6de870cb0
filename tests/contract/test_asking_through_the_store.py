"""What becomes of an order that goes through the store when something on the way stands still, dies or lies:
the real helper and a store in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.contract.test_helper_over_every_transport import (
    ALL_CLOSED,
    ALL_OPEN,
    Node,
    answering,
    node,
    token,
)
from tests.doubles.letters import MemoryLetters, Shelf

from mailward.fencing.ask import AT_ONCE, AskedHelper
from mailward.model.fencing import HelperAnswer, HelperReply, NodeFacts
from mailward.model.ports import Box

__all__ = ["node"]

HELLO_S = 1.0
"""Where nobody answers; where somebody does the machine may be busy."""


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def theirs(shelf: Shelf) -> MemoryLetters:
    return MemoryLetters(shelf)


@pytest.fixture
async def answers(theirs: MemoryLetters, node: Node) -> AsyncIterator[None]:
    """The daemon beside the node."""
    async with answering(theirs, node.command):
        yield


@asynccontextmanager
async def asking(shelf: Shelf, **more: Any) -> AsyncIterator[tuple[AskedHelper, MemoryLetters]]:
    ours = MemoryLetters(shelf)
    helper = AskedHelper(ours, "mail-a", **{"hello_timeout_s": 10.0, "timeout_s": 20.0, **more})
    try:
        yield helper, ours
    finally:
        await helper.close()


def obeyed_something(node: Node) -> bool:
    return (node.folder / "state" / "state.json").exists()


async def seconds(order: Any) -> tuple[HelperAnswer, float]:
    began_s = asyncio.get_running_loop().time()
    answer = await order
    return answer, asyncio.get_running_loop().time() - began_s


async def there(shelf: Shelf, box: Box, what: bytes) -> None:
    """Wait for a letter with this in it."""
    async with asyncio.timeout(5), shelf.turned:
        await shelf.turned.wait_for(
            lambda: any(what in content for (at, _, _), content in shelf.contents.items() if at is box)
        )


async def answered(shelf: Shelf, number: int) -> None:
    """Wait until so many answers are there."""
    async with asyncio.timeout(10), shelf.turned:
        await shelf.turned.wait_for(lambda: [at for at, _, _ in shelf.contents].count(Box.ANSWERS) == number)


async def test_where_no_daemon_answers_it_is_unknown_within_its_deadline(shelf: Shelf) -> None:
    async with asking(shelf, hello_timeout_s=HELLO_S) as (helper, _):
        answer, took_s = await seconds(helper.order(token(1, 1), ALL_CLOSED))
    assert (answer.reply, took_s < HELLO_S + 0.5) == (HelperReply.UNKNOWN, True)
    assert answer.detail == "no hello within 1 s: the daemon beside mail-a has not taken it up"
    assert not shelf.contents


async def test_without_the_store_it_is_unknown_at_once(shelf: Shelf) -> None:
    async with asking(shelf) as (helper, ours):
        ours.cut = True
        answer, took_s = await seconds(helper.order(token(1, 1), ALL_CLOSED))
    assert (answer.reply, answer.detail) == (HelperReply.UNKNOWN, "there is no connection to the store")
    assert took_s < 0.5


async def test_a_daemon_that_stood_still_obeys_nothing_of_before(
    shelf: Shelf, theirs: MemoryLetters, node: Node
) -> None:
    """It is stopped when the order comes, and goes on while nobody waits for it any more."""
    async with answering(theirs, node.command), asking(shelf, hello_timeout_s=HELLO_S) as (helper, ours):
        theirs.going_on.clear()
        answer = await helper.order(token(1, 1), ALL_OPEN)
        assert answer.reply is HelperReply.UNKNOWN
        ours.cut = True  # its letter stays
        await ours.end()
        theirs.going_on.set()
        await asyncio.sleep(2.5)
    assert not obeyed_something(node)


async def test_a_daemon_that_stood_still_between_hello_and_order_does_not_have_it_obeyed(
    shelf: Shelf, theirs: MemoryLetters, node: Node
) -> None:
    """The order is there in time, and the daemon reads it 2.5 s after the hello."""
    async with answering(theirs, node.command), asking(shelf) as (helper, _):
        order = asyncio.create_task(helper.order(token(1, 1), ALL_OPEN))
        await there(shelf, Box.ANSWERS, b"nonce")
        theirs.going_on.clear()
        await there(shelf, Box.ASKS, b"token")
        await asyncio.sleep(2.5)
        theirs.going_on.set()
        answer = await order
    assert (answer.reply, answer.detail) == (
        HelperReply.REFUSED,
        "late: no request within 2 s of the hello",
    )
    assert not obeyed_something(node)


async def test_an_order_of_who_stood_still_comes_too_late(
    shelf: Shelf, theirs: MemoryLetters, node: Node
) -> None:
    async with answering(theirs, node.command), asking(shelf, hello_timeout_s=HELLO_S) as (helper, ours):
        order = asyncio.create_task(helper.order(token(1, 1), ALL_OPEN))
        await there(shelf, Box.ASKS, b"said")
        ours.going_on.clear()
        await there(shelf, Box.ANSWERS, b"nonce")
        await asyncio.sleep(2.5)
        ours.going_on.set()
        answer = await order
    assert (answer.reply, answer.detail.startswith("no hello within 1 s")) == (HelperReply.UNKNOWN, True)
    assert not obeyed_something(node)


async def test_an_order_written_once_more_with_the_nonce_of_before_is_refused(
    shelf: Shelf, theirs: MemoryLetters, answers: None, node: Node
) -> None:
    """What somebody has copied of one dialogue is worth nothing in the next."""
    async with asking(shelf) as (helper, _):
        order = asyncio.create_task(helper.order(token(1, 1), ALL_CLOSED))
        await there(shelf, Box.ASKS, b"token")
        copied = next(content for (at, _, _), content in shelf.contents.items() if at is Box.ASKS)
        assert (await order).reply is HelperReply.OBEYED
        again = copied.replace(b"abcdef01.1.1", b"abcdef01.1.2")
        await MemoryLetters(shelf).write(Box.ASKS, "mail-a", "f" * 32, again)
        await there(shelf, Box.ANSWERS, b"the nonce is not of this session")
        for place in [place for place in shelf.contents if place[2] == "f" * 32]:
            await shelf.put(place, None)
        facts = await helper.status()
        assert isinstance(facts, NodeFacts)
        assert facts.token == token(1, 1)


async def test_when_the_answer_is_lost_the_helper_tells_what_it_obeys(
    shelf: Shelf, theirs: MemoryLetters, answers: None, node: Node
) -> None:
    async with asking(shelf) as (helper, ours):
        order = asyncio.create_task(helper.order(token(1, 1), ALL_CLOSED))
        await there(shelf, Box.ASKS, b"token")
        ours.cut = True
        answer = await order
        assert (answer.reply, answer.detail) == (HelperReply.UNKNOWN, "there is no connection to the store")
        ours.cut = False
        facts = await helper.status()
        assert isinstance(facts, NodeFacts)
        assert (facts.token, facts.ports) == (token(1, 1), ALL_CLOSED)
        await ours.end()


async def test_of_two_who_ask_the_one_with_the_higher_token_is_obeyed(
    shelf: Shelf, answers: None, node: Node
) -> None:
    """The leader of before has its order read after that of the new one."""
    async with asking(shelf) as (old, _), asking(shelf) as (new, _):
        first, second = await asyncio.gather(
            new.order(token(5, 1), ALL_CLOSED), old.order(token(4, 9), ALL_CLOSED)
        )
        assert first.reply is HelperReply.OBEYED
        assert second.reply in (HelperReply.OBEYED, HelperReply.STALE)
        late = await old.order(token(4, 10), ALL_OPEN)
        assert (late.reply, late.token, late.ports) == (HelperReply.STALE, token(5, 1), ALL_CLOSED)


@pytest.mark.parametrize("content", [b"\xff\x00", b"[1]", b'{"said":1,"end":null}', b'"' + b"x" * 100_000])
async def test_an_answer_that_is_no_letter_is_named(shelf: Shelf, content: bytes) -> None:
    async with asking(shelf) as (helper, _):
        order = asyncio.create_task(helper.order(token(1, 1), ALL_CLOSED))
        await there(shelf, Box.ASKS, b"said")
        id = next(id for _, _, id in shelf.contents)
        await MemoryLetters(shelf).write(Box.ANSWERS, "mail-a", id, content)
        answer = await order
    assert answer.reply is HelperReply.UNKNOWN
    assert answer.detail.startswith("the answer of the daemon beside mail-a holds no letter: b")
    assert len(answer.detail) < 300


async def test_a_question_that_is_no_letter_is_answered_by_its_name(shelf: Shelf, answers: None) -> None:
    await MemoryLetters(shelf).write(Box.ASKS, "mail-a", "a" * 32, b"{}")
    await there(shelf, Box.ANSWERS, b"the question " + b"a" * 32 + b" holds no letter")
    await shelf.put((Box.ASKS, "mail-a", "a" * 32), None)


async def test_what_has_no_id_of_ours_is_passed_over(
    shelf: Shelf, answers: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await MemoryLetters(shelf).write(Box.ASKS, "mail-a", "../hello", b"{}")
        async with asking(shelf) as (helper, _):
            assert isinstance(await helper.status(), NodeFacts)
    assert "a question to mail-a is passed over: ../hello" in caplog.text
    assert not [place for place in shelf.contents if place[0] is Box.ANSWERS and place[2] == "../hello"]


async def test_no_more_are_answered_at_once_than_it_can_do(
    shelf: Shelf, theirs: MemoryLetters, answers: None
) -> None:
    strangers = MemoryLetters(shelf)
    for number in range(AT_ONCE + 3):
        await strangers.write(Box.ASKS, "mail-a", f"{number:032x}", b'{"said":"","end":null}')
    await answered(shelf, AT_ONCE)
    async with asking(shelf, hello_timeout_s=HELLO_S) as (short, _), asking(shelf) as (helper, _):
        assert "has not taken it up" in str(await short.status())
        await strangers.end()
        await answered(shelf, 0)
        assert isinstance(await helper.status(), NodeFacts)


async def test_the_store_may_be_gone_for_a_while(
    shelf: Shelf, theirs: MemoryLetters, answers: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(shelf, hello_timeout_s=HELLO_S) as (helper, _):
        theirs.cut = True
        assert "has not taken it up" in str(await helper.status())
        theirs.cut = False
    async with asking(shelf) as (helper, _):
        assert isinstance(await helper.status(), NodeFacts)
    assert "no question to mail-a is heard: there is no connection to the store" in caplog.text


async def test_a_service_is_not_reached_through_it(shelf: Shelf) -> None:
    async with asking(shelf) as (helper, _):
        with pytest.raises(OSError, match="imaps is not reached through the store"):
            await helper.connect("imaps")
