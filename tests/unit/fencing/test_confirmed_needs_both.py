"""CONFIRMED is an acknowledgement of just this token and this map, and the refusal from outside."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mailward.fencing.rung import HelperRung
from mailward.fencing.verification import Seen, Sight
from mailward.model.fencing import (
    CLOSED,
    OPEN,
    PLAIN,
    FenceOutcome,
    HelperAnswer,
    HelperReply,
    Hook,
    HookAnswer,
    NodeFacts,
    PortMap,
    Scope,
    Terms,
    UnitState,
)
from mailward.model.token import Token

NOW, OLD = Token("abcdef01", 2, 2), Token("abcdef01", 2, 1)
ALL_CLOSED: PortMap = {"imaps": CLOSED, "smtp": CLOSED}
SMTP_OPEN: PortMap = {"imaps": CLOSED, "smtp": OPEN}
OBEYED = HelperAnswer(HelperReply.OBEYED, NOW, ALL_CLOSED)
FACTS = NodeFacts("mail-a", "boot", NOW, ALL_CLOSED, True, {}, False, {})


class FakeHelper:
    def __init__(self, answer: HelperAnswer, facts: NodeFacts | str = "unreachable") -> None:
        self.answer, self.facts = answer, facts

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        return self.answer

    async def claim(self, token: Token) -> HelperAnswer:
        return self.answer

    async def renew(self, token: Token) -> HelperAnswer:
        return self.answer

    async def status(self) -> NodeFacts | str:
        return self.facts


@pytest.fixture
def listening() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def rung(answer: HelperAnswer, facts: NodeFacts | str = "unreachable", **services: int) -> HelperRung:
    ports = {"imaps": free_port(), "smtp": free_port(), **services}
    return HelperRung(FakeHelper(answer, facts), ports, ["127.0.0.1"], look_timeout_s=2.0)


async def test_acknowledged_and_refused_is_confirmed() -> None:
    result = await rung(OBEYED).order(NOW, ALL_CLOSED)
    assert (result.outcome, result.scope) == (FenceOutcome.CONFIRMED, Scope.USERS)
    assert result.detail == "acknowledged and refused on 2 of 2 ports"


async def test_how_the_helper_was_asked_is_told_where_it_has_a_name() -> None:
    by_another = HelperRung(
        FakeHelper(OBEYED), {"imaps": free_port(), "smtp": free_port()}, ["127.0.0.1"], way="by her"
    )
    assert (await by_another.order(NOW, ALL_CLOSED)).detail == (
        "acknowledged by her and refused on 2 of 2 ports"
    )


async def test_acknowledged_but_still_accepting_is_unknown(listening: int) -> None:
    result = await rung(OBEYED, smtp=listening).order(NOW, ALL_CLOSED)
    assert (result.outcome, result.scope) == (FenceOutcome.UNKNOWN, Scope.NONE)
    assert f"127.0.0.1:{listening} accepted" in result.detail


async def test_refused_but_not_acknowledged_is_unknown() -> None:
    result = await rung(HelperAnswer(HelperReply.UNKNOWN, detail="no hello")).order(NOW, ALL_CLOSED)
    assert (result.outcome, result.detail) == (FenceOutcome.UNKNOWN, "no hello")


async def test_a_port_ordered_open_is_not_looked_at(listening: int) -> None:
    answer = replace(OBEYED, ports=SMTP_OPEN)
    result = await rung(answer, smtp=listening).order(NOW, SMTP_OPEN)
    assert (result.outcome, result.scope) == (FenceOutcome.CONFIRMED, Scope.USERS)
    assert "1 of 1" in result.detail


async def test_an_order_that_only_opens_is_confirmed_by_acknowledgement(listening: int) -> None:
    all_open: PortMap = {"imaps": OPEN, "smtp": OPEN}
    result = await rung(replace(OBEYED, ports=all_open)).order(NOW, all_open)
    assert (result.outcome, result.scope) == (FenceOutcome.CONFIRMED, Scope.NONE)


@pytest.mark.parametrize("answer", [replace(OBEYED, token=OLD), replace(OBEYED, ports=SMTP_OPEN)])
async def test_an_acknowledgement_of_another_token_or_map_is_none(answer: HelperAnswer) -> None:
    result = await rung(answer).order(NOW, ALL_CLOSED)
    assert result.outcome is FenceOutcome.UNKNOWN


@pytest.mark.parametrize("reply", [HelperReply.FOREIGN, HelperReply.REFUSED])
async def test_a_refusal_is_failed_with_its_reason(reply: HelperReply) -> None:
    result = await rung(HelperAnswer(reply, OLD, detail="why")).order(NOW, ALL_CLOSED)
    assert (result.outcome, result.detail) == (FenceOutcome.FAILED, f"{reply}: why")


async def test_stale_under_a_higher_token_is_failed() -> None:
    stale = HelperAnswer(HelperReply.STALE, Token("abcdef01", 3, 0), ALL_CLOSED, detail="3.0 was obeyed")
    assert (await rung(stale, FACTS).order(NOW, ALL_CLOSED)).outcome is FenceOutcome.FAILED


@pytest.mark.parametrize(
    "answer", [HelperAnswer(HelperReply.UNKNOWN), HelperAnswer(HelperReply.STALE, NOW, ALL_CLOSED)]
)
@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (FACTS, FenceOutcome.CONFIRMED),
        (replace(FACTS, token=OLD), FenceOutcome.UNKNOWN),
        (replace(FACTS, ports=SMTP_OPEN), FenceOutcome.UNKNOWN),
        (replace(FACTS, applied=False), FenceOutcome.UNKNOWN),
        (replace(FACTS, applied=None), FenceOutcome.UNKNOWN),
        ("unreachable", FenceOutcome.UNKNOWN),
    ],
)
async def test_a_lost_answer_is_acknowledged_by_status_only_if_token_map_and_firewall_agree(
    answer: HelperAnswer, facts: NodeFacts | str, outcome: FenceOutcome
) -> None:
    assert (await rung(answer, facts).order(NOW, ALL_CLOSED)).outcome is outcome


ALL_OPEN: PortMap = {"imaps": OPEN, "smtp": OPEN}
OPENED = replace(FACTS, ports=ALL_OPEN)


@pytest.mark.parametrize(
    ("facts", "lease_s", "outcome"),
    [
        (OPENED, None, FenceOutcome.CONFIRMED),
        (replace(OPENED, lease_s=10.0, lease_left_s=4.0), 10.0, FenceOutcome.CONFIRMED),
        (replace(OPENED, lease_s=10.0, lease_left_s=0.0), 10.0, FenceOutcome.UNKNOWN),
        (replace(OPENED, lease_s=10.0, lease_left_s=None), 10.0, FenceOutcome.UNKNOWN),
        (replace(OPENED, lease_s=9.0, lease_left_s=4.0), 10.0, FenceOutcome.UNKNOWN),
        (OPENED, 10.0, FenceOutcome.UNKNOWN),
        (replace(OPENED, lease_s=10.0, lease_left_s=4.0), None, FenceOutcome.UNKNOWN),
    ],
)
async def test_a_lost_answer_to_an_order_under_a_lease_is_acknowledged_only_while_that_lease_runs(
    facts: NodeFacts, lease_s: float | None, outcome: FenceOutcome
) -> None:
    asked = rung(HelperAnswer(HelperReply.UNKNOWN), facts)
    assert (await asked.order(NOW, ALL_OPEN, Terms(lease_s=lease_s))).outcome is outcome


async def test_an_order_that_promotes_and_opens_under_a_lease_is_acknowledged_with_both() -> None:
    all_open: PortMap = {"imaps": OPEN, "smtp": OPEN}
    terms = Terms(lease_s=30.0, hook=Hook.PROMOTE)
    hook = HookAnswer(Hook.PROMOTE, True, True, True, "verify: exit code 0")
    obeyed = HelperAnswer(HelperReply.OBEYED, NOW, all_open, hook=hook)
    result = await rung(obeyed).order(NOW, all_open, terms)
    assert (result.outcome, result.hooked) == (FenceOutcome.CONFIRMED, True)
    runs = replace(FACTS, ports=all_open, lease_s=30.0, lease_left_s=20.0)
    lost = await rung(HelperAnswer(HelperReply.UNKNOWN), runs).order(NOW, all_open, terms)
    assert (lost.outcome, lost.hooked) == (FenceOutcome.CONFIRMED, False)
    lapsed = replace(runs, lease_left_s=0.0)
    lost = await rung(HelperAnswer(HelperReply.UNKNOWN), lapsed).order(NOW, all_open, terms)
    assert lost.outcome is FenceOutcome.UNKNOWN


async def test_a_fence_that_would_not_survive_a_reboot_says_so() -> None:
    result = await rung(replace(OBEYED, persisted=False)).order(NOW, ALL_CLOSED)
    assert result.outcome is FenceOutcome.CONFIRMED
    assert "could not be persisted" in result.detail


STOP = Terms(stop=True)


@pytest.mark.parametrize(
    ("stopped", "writers", "outcome", "scope", "detail"),
    [
        (
            True,
            {"lmtp": UnitState.INACTIVE},
            FenceOutcome.CONFIRMED,
            Scope.WRITES,
            "all writers have stopped",
        ),
        (
            False,
            {"lmtp": UnitState.ACTIVE},
            FenceOutcome.UNKNOWN,
            Scope.USERS,
            "not all writers have stopped: lmtp active",
        ),
        (False, {}, FenceOutcome.UNKNOWN, Scope.USERS, "none is listed on the node"),
        (None, {}, FenceOutcome.UNKNOWN, Scope.USERS, "not all writers have stopped"),
    ],
)
async def test_writes_are_fenced_only_by_the_helpers_word_that_all_writers_have_stopped(
    stopped: bool | None, writers: dict[str, UnitState], outcome: FenceOutcome, scope: Scope, detail: str
) -> None:
    result = await rung(replace(OBEYED, stopped=stopped, writers=writers)).order(NOW, ALL_CLOSED, STOP)
    assert (result.outcome, result.scope) == (outcome, scope)
    assert detail in result.detail


async def test_stopped_writers_behind_a_port_that_accepts_fence_nothing(listening: int) -> None:
    result = await rung(replace(OBEYED, stopped=True), smtp=listening).order(NOW, ALL_CLOSED, STOP)
    assert (result.outcome, result.scope) == (FenceOutcome.UNKNOWN, Scope.NONE)


async def test_writers_that_have_stopped_without_being_asked_widen_no_scope() -> None:
    result = await rung(replace(OBEYED, stopped=True)).order(NOW, ALL_CLOSED)
    assert (result.outcome, result.scope) == (FenceOutcome.CONFIRMED, Scope.USERS)


@pytest.mark.parametrize(
    ("stopped", "outcome"),
    [(True, FenceOutcome.CONFIRMED), (False, FenceOutcome.UNKNOWN), (None, FenceOutcome.UNKNOWN)],
)
async def test_after_a_lost_answer_the_status_tells_whether_they_have_stopped(
    stopped: bool | None, outcome: FenceOutcome
) -> None:
    asked = rung(HelperAnswer(HelperReply.UNKNOWN), replace(FACTS, stopped=stopped))
    assert (await asked.order(NOW, ALL_CLOSED, STOP)).outcome is outcome


VERIFIED = HookAnswer(Hook.DEMOTE, True, True, True)


@pytest.mark.parametrize(
    ("hook", "hooked", "detail"),
    [
        (VERIFIED, True, "demote verified"),
        (HookAnswer(Hook.DEMOTE, False, False, False), True, "nothing to do"),
        (replace(VERIFIED, verified=False, detail="why"), False, "demote is not verified: why"),
        (replace(VERIFIED, hook=Hook.PROMOTE), False, "demote is not verified"),
        (None, False, "demote was not answered"),
    ],
)
async def test_a_demotion_that_was_ordered_is_told_apart_from_what_became_of_the_ports(
    hook: HookAnswer | None, hooked: bool, detail: str
) -> None:
    asked = rung(replace(OBEYED, hook=hook, stopped=True))
    result = await asked.order(NOW, ALL_CLOSED, Terms(stop=True, hook=Hook.DEMOTE))
    assert (result.outcome, result.scope) == (FenceOutcome.CONFIRMED, Scope.WRITES)
    assert (result.hooked, detail in result.detail) == (hooked, True)


async def test_after_a_lost_answer_the_status_cannot_tell_what_a_hook_did() -> None:
    asked = rung(HelperAnswer(HelperReply.UNKNOWN), replace(FACTS, stopped=True))
    result = await asked.order(NOW, ALL_CLOSED, Terms(stop=True, hook=Hook.DEMOTE))
    assert (result.outcome, result.hooked) == (FenceOutcome.CONFIRMED, False)


async def test_an_order_that_takes_long_has_more_time() -> None:
    class Slow(FakeHelper):
        async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
            await asyncio.sleep(0.3)
            return replace(self.answer, stopped=True)

    slow = HelperRung(Slow(OBEYED), {"imaps": free_port(), "smtp": free_port()}, ["127.0.0.1"], timeout_s=0.1)
    assert (await slow.order(NOW, ALL_CLOSED)).outcome is FenceOutcome.UNKNOWN
    assert (await slow.order(NOW, ALL_CLOSED, STOP)).outcome is FenceOutcome.CONFIRMED


def test_scopes_cover_what_is_below_them() -> None:
    rising = (Scope.NONE, Scope.USERS, Scope.WRITES, Scope.POWER)
    for index, scope in enumerate(rising):
        assert [other for other in rising if scope.covers(other)] == list(rising[: index + 1])


async def test_nothing_to_look_at_is_unknown() -> None:
    nowhere = HelperRung(FakeHelper(OBEYED), {"imaps": 1, "smtp": 2}, [])
    assert (await nowhere.order(NOW, ALL_CLOSED)).outcome is FenceOutcome.UNKNOWN
    portless = HelperRung(FakeHelper(OBEYED), {"imaps": 1}, ["127.0.0.1"])
    assert "no port is known for smtp" in (await portless.order(NOW, ALL_CLOSED)).detail


async def test_an_order_that_hangs_is_unknown_within_its_deadline() -> None:
    class Hangs(FakeHelper):
        async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
            await asyncio.sleep(60)
            raise AssertionError

    hanging = HelperRung(Hangs(OBEYED), {"imaps": 1, "smtp": 2}, ["127.0.0.1"], timeout_s=0.05)
    assert (await hanging.order(NOW, ALL_CLOSED)).outcome is FenceOutcome.UNKNOWN


async def test_a_claim_that_is_there_already_is_settled_by_the_next_token() -> None:
    """It may have arrived unheard, or be that of a twin on a copy of our store."""
    assert (await rung(HelperAnswer(HelperReply.STALE, NOW)).claim(NOW)).reply is HelperReply.UNKNOWN
    later = HelperAnswer(HelperReply.STALE, Token("abcdef01", 3, 0))
    assert (await rung(later).claim(NOW)).reply is HelperReply.STALE


@pytest.mark.parametrize(
    ("smtp", "imaps", "outcome"),
    [
        (Seen.EXCEPTED, Seen.REFUSED, FenceOutcome.CONFIRMED),
        (Seen.EXCEPTED, Seen.EXCEPTED, FenceOutcome.UNKNOWN),
        (Seen.EXCEPTED, Seen.UNKNOWN, FenceOutcome.UNKNOWN),
        (Seen.EXCEPTED, Seen.ACCEPTED, FenceOutcome.UNKNOWN),
    ],
)
async def test_what_nobody_can_see_is_left_out_beside_a_refusal(
    smtp: Seen, imaps: Seen, outcome: FenceOutcome
) -> None:
    """Port 25 is open to the node's peers, and nobody else may be there to look."""

    async def look(addresses: Sequence[str], _ports: Sequence[int], _timeout_s: float) -> tuple[Sight, ...]:
        return (Sight(addresses[0], 25, smtp), Sight(addresses[0], 993, imaps))

    fenced = HelperRung(FakeHelper(OBEYED), {"imaps": 993, "smtp": 25}, ["192.0.2.7"], look=look)
    assert (await fenced.order(NOW, ALL_CLOSED)).outcome is outcome
