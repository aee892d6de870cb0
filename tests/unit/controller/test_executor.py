"""Every order ends in exactly one outcome: in time, one at a time per receiver, whatever its driver does."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from tests.unit.core.scene import policy_of

from mailward.controller.executor import Executor
from mailward.model.clock import Moment
from mailward.model.dns import RRset, ServerCheck
from mailward.model.fencing import (
    CLOSED,
    OPEN,
    PLAIN,
    FenceOutcome,
    FenceResult,
    HelperAnswer,
    HelperReply,
    Hook,
    PortMap,
    Scope,
    Terms,
)
from mailward.model.orders import (
    Action,
    ClaimHelper,
    ClaimTarget,
    KickReplication,
    Order,
    OrderPorts,
    Outcome,
    PowerOff,
    Publish,
    Result,
    Verify,
)
from mailward.model.policy import RungKind
from mailward.model.ports import Published
from mailward.model.replication import Lag
from mailward.model.token import Sent, Token

RRSETS = (RRset("mail.example.test.", "A", 30, ("192.0.2.1",)),)
PORTS = {"imaps": CLOSED}
CALLS = ("claim", "publish", "verify", "order", "kick", "off")


@dataclass
class Driver:
    """Publisher, fence and lag source in one. `answers` says what each call returns or raises; `calls`
    what was called, with its token."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, Token | None, object]] = field(default_factory=list)
    during: Callable[[], Coroutine[Any, Any, None]] | None = None
    busy: int = 0
    most_busy: int = 0

    async def _called(self, name: str, token: Token | None, argument: object, default: Any) -> Any:
        self.calls.append((name, token, argument))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            if self.during is not None:
                await self.during()
            answer = self.answers.get(name, default)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.busy -= 1

    async def publish(self, token: Token, rrsets: Sequence[RRset]) -> Published:
        return await self._called("publish", token, rrsets, Published(Result.DONE))  # type: ignore[no-any-return]

    async def verify(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        return await self._called("verify", None, rrsets, (ServerCheck("ns1", True),))  # type: ignore[no-any-return]

    async def measure(self) -> Sequence[Lag]:
        return ()

    async def kick(self) -> str:
        return await self._called("kick", None, None, "")  # type: ignore[no-any-return]


class Publisher(Driver):
    async def claim(self, token: Token, _sent: Sent) -> Published:
        return await self._called("claim", token, None, Published(Result.DONE))  # type: ignore[no-any-return]


class Fence(Driver):
    async def claim(self, token: Token) -> HelperAnswer:
        return await self._called("claim", token, None, HelperAnswer(HelperReply.OBEYED, token))  # type: ignore[no-any-return]

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult:
        confirmed = FenceResult(FenceOutcome.CONFIRMED, Scope.USERS)
        return await self._called("order", token, ports, confirmed)  # type: ignore[no-any-return]


class Switch(Driver):
    async def off(self) -> FenceResult:
        confirmed = FenceResult(FenceOutcome.CONFIRMED, Scope.POWER)
        return await self._called("off", None, None, confirmed)  # type: ignore[no-any-return]


class Bench:
    """An executor with drivers for `ns1` and `a`, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.publisher, self.fence, self.lag, self.switch = Publisher(), Fence(), Driver(), Switch()
        self.asked = Fence()
        self.drivers = (self.publisher, self.fence, self.lag, self.switch)
        self.now_s = 1000.0
        self.until_s = float("inf")
        self.reported: asyncio.Queue[Outcome] = asyncio.Queue()
        self.outcomes: list[Outcome] = []
        self.seq = 0
        self.executor = Executor(
            publishers={"ns1": self.publisher, "ns2": Publisher()},
            fences={"a": self.fence, "b": Fence()},
            lag_sources={"a": self.lag},
            switches={"a": self.switch},
            asked={"a": self.asked},
            clock=self,
            may_act_until_s=lambda: self.until_s,
            policy=policy_of(),
            report=self.reported.put_nowait,
        )

    def now(self) -> Moment:
        return Moment("boot", self.now_s, 0.0)

    def order(self, action: Action, expires_s: float = 5.0) -> Order:
        self.seq += 1
        return Order(Token("0123456789ab", 1, self.seq), action, self.now(), expires_s)

    async def carry_out(self, *actions: Action, expires_s: float = 5.0) -> list[Outcome]:
        for action in actions:
            self.executor.send(self.order(action, expires_s))
        return await self.until(len(actions))

    async def until(self, count: int) -> list[Outcome]:
        async with asyncio.timeout(2):
            while len(self.outcomes) < count:
                self.outcomes.append(await self.reported.get())
        return self.outcomes


ONE_OF_EACH: list[Action] = [
    ClaimTarget("ns1"), Publish("ns1", RRSETS), Verify("ns1", RRSETS), ClaimHelper("a"),
    OrderPorts("a", PORTS), PowerOff("a"), KickReplication("a"),
]  # fmt: skip


def test_one_of_each_kind_is_tried_below() -> None:
    assert {type(action) for action in ONE_OF_EACH} == set(get_args(Action))


@pytest.mark.parametrize("action", ONE_OF_EACH, ids=lambda a: a.kind)
async def test_every_kind_of_action_is_carried_out_by_its_port(action: Action) -> None:
    bench = Bench()
    (outcome,) = await bench.carry_out(action)
    calls = [*bench.publisher.calls, *bench.fence.calls, *bench.lag.calls, *bench.switch.calls]
    token = Token("0123456789ab", 1, 1)
    expected = {
        "claim-target": ("claim", token, None),
        "publish": ("publish", token, RRSETS),
        "verify": ("verify", None, RRSETS),
        "claim-helper": ("claim", token, None),
        "order-ports": ("order", token, PORTS),
        "power-off": ("off", None, None),
        "kick-replication": ("kick", None, None),
    }
    assert calls == [expected[action.kind]]
    assert (outcome.token, outcome.result, outcome.at) == (token, Result.DONE, bench.now())


REFUSALS: list[tuple[Action, str, Any, Result, str]] = [
    (ClaimTarget("ns1"), "claim", Published(Result.STALE, "it holds 9"), Result.STALE, "it holds 9"),
    (ClaimTarget("ns1"), "claim", Published(Result.FOREIGN, "x"), Result.FOREIGN, "x"),
    (Publish("ns1", RRSETS), "publish", Published(Result.FAILED, "REFUSED"), Result.FAILED, "REFUSED"),
    (Publish("ns1", RRSETS), "publish", Published(Result.UNKNOWN, "lost"), Result.UNKNOWN, "lost"),
    (
        Verify("ns1", RRSETS), "verify",
        (ServerCheck("ns1", True), ServerCheck("ns2", False, "old"), ServerCheck("ns3", False, "silent")),
        Result.FAILED, "ns2: old; ns3: silent",
    ),
    (Verify("ns1", RRSETS), "verify", (), Result.FAILED, "no authoritative server is known"),
    (ClaimHelper("a"), "claim", HelperAnswer(HelperReply.STALE, detail="s"), Result.STALE, "s"),
    (ClaimHelper("a"), "claim", HelperAnswer(HelperReply.FOREIGN, detail="f"), Result.FOREIGN, "f"),
    (ClaimHelper("a"), "claim", HelperAnswer(HelperReply.REFUSED, detail="r"), Result.FAILED, "r"),
    (ClaimHelper("a"), "claim", HelperAnswer(HelperReply.UNKNOWN, detail="u"), Result.UNKNOWN, "u"),
    (
        OrderPorts("a", PORTS), "order", FenceResult(FenceOutcome.FAILED, detail="nft"),
        Result.FAILED, "nft",
    ),
    (
        OrderPorts("a", PORTS), "order", FenceResult(FenceOutcome.UNKNOWN, detail="no answer"),
        Result.UNKNOWN, "no answer",
    ),
    (
        OrderPorts("a", PORTS), "order",
        FenceResult(FenceOutcome.CONFIRMED, Scope.USERS, "demote is not verified", hooked=False),
        Result.UNKNOWN, "demote is not verified",
    ),
    (KickReplication("a"), "kick", "doveadm: 401", Result.FAILED, "doveadm: 401"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "call", "answer", "result", "detail"), REFUSALS, ids=lambda x: getattr(x, "kind", "")
)
async def test_what_a_port_says_becomes_the_outcome(
    action: Action, call: str, answer: object, result: Result, detail: str
) -> None:
    bench = Bench()
    for driver in bench.drivers:
        driver.answers[call] = answer
    (outcome,) = await bench.carry_out(action)
    assert (outcome.result, outcome.detail) == (result, detail)


@pytest.mark.parametrize("fence", FenceOutcome)
async def test_an_order_of_ports_brings_back_fence_and_scope(fence: FenceOutcome) -> None:
    bench = Bench()
    bench.fence.answers["order"] = FenceResult(fence, Scope.USERS)
    (outcome,) = await bench.carry_out(OrderPorts("a", PORTS))
    assert (outcome.fence, outcome.scope) == (fence, Scope.USERS)


async def test_an_order_by_way_of_the_daemon_beside_a_node_goes_no_other_way() -> None:
    bench = Bench()
    bench.asked.answers["order"] = FenceResult(FenceOutcome.CONFIRMED, Scope.WRITES)
    asked, over_ssh = await bench.carry_out(OrderPorts("a", PORTS, by=RungKind.ASK), OrderPorts("a", PORTS))
    assert (asked.scope, over_ssh.scope) == (Scope.WRITES, Scope.USERS)
    first, second = (Token("0123456789ab", 1, seq) for seq in (1, 2))
    assert (bench.asked.calls, bench.fence.calls) == (
        [("order", first, PORTS)],
        [("order", second, PORTS)],
    )


async def test_who_cannot_be_asked_from_here_is_ordered_by_no_other_way() -> None:
    bench = Bench()
    (outcome,) = await bench.carry_out(OrderPorts("b", PORTS, by=RungKind.ASK))
    assert (outcome.result, outcome.fence) == (Result.UNKNOWN, None)
    assert (bench.asked.calls, bench.fence.calls) == ([], [])


async def test_a_node_without_a_lag_source_has_nothing_to_be_asked() -> None:
    (outcome,) = await Bench().carry_out(KickReplication("b"))
    assert outcome.result is Result.DONE


@pytest.mark.parametrize("action", ONE_OF_EACH, ids=lambda a: a.kind)
async def test_a_port_that_never_answers_is_unknown_at_the_deadline(action: Action) -> None:
    bench = Bench()
    for driver in bench.drivers:
        driver.during = asyncio.Event().wait  # type: ignore[assignment]
    (outcome,) = await bench.carry_out(action, expires_s=0.01)
    assert (outcome.result, outcome.detail) == (Result.UNKNOWN, "no answer within 0.01 s")


async def test_an_order_whose_recording_took_long_has_only_the_time_that_is_left() -> None:
    """Whoever leads next counts from then; a claim reads first, and must not be written late."""
    bench = Bench()
    bench.publisher.during = asyncio.Event().wait  # type: ignore[assignment]
    order = bench.order(ClaimTarget("ns1"), expires_s=60.0)
    bench.now_s += 59.99
    bench.executor.send(order)
    (outcome,) = await bench.until(1)
    assert (outcome.result, outcome.detail) == (Result.UNKNOWN, "no answer within 60 s")


@pytest.mark.parametrize("action", ONE_OF_EACH, ids=lambda a: a.kind)
async def test_an_error_nobody_foresaw_is_unknown_and_is_logged(
    action: Action, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    for driver in bench.drivers:
        driver.answers = dict.fromkeys(CALLS, KeyError("serial"))
    (outcome,) = await bench.carry_out(action)
    assert (outcome.result, outcome.detail) == (Result.UNKNOWN, "KeyError: 'serial'")
    assert "in a way nobody foresaw" in caplog.text


async def test_a_driver_that_cancels_itself_has_an_outcome_as_well() -> None:
    bench = Bench()
    bench.publisher.answers["publish"] = asyncio.CancelledError()
    (outcome,) = await bench.carry_out(Publish("ns1", RRSETS))
    assert outcome.result is Result.UNKNOWN


async def test_a_receiver_that_is_not_configured_any_more_is_unknown() -> None:
    bench = Bench()
    outcomes = await bench.carry_out(Publish("gone", RRSETS), OrderPorts("gone", PORTS))
    assert {outcome.result for outcome in outcomes} == {Result.UNKNOWN}


async def test_an_order_whose_time_has_passed_is_not_sent() -> None:
    bench = Bench()
    order = bench.order(Publish("ns1", RRSETS))
    bench.now_s += 5.0
    bench.executor.send(order)
    (outcome,) = await bench.until(1)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "not sent: its time had passed")
    assert not outcome.sent
    assert bench.publisher.calls == []


@pytest.mark.parametrize(("until_s", "sent"), [(1000.0, False), (1000.1, True), (float("-inf"), False)])
async def test_an_order_after_the_right_to_act_has_ended_is_not_sent(until_s: float, sent: bool) -> None:
    bench = Bench()
    bench.until_s = until_s
    (outcome,) = await bench.carry_out(Publish("ns1", RRSETS))
    assert bool(bench.publisher.calls) is sent
    assert outcome.result is (Result.DONE if sent else Result.FAILED)


async def test_a_receiver_gets_one_order_at_a_time_in_the_order_of_tokens() -> None:
    bench = Bench()

    async def a_while() -> None:
        await asyncio.sleep(0.001)

    bench.publisher.during = bench.fence.during = a_while
    await bench.carry_out(
        ClaimTarget("ns1"), Publish("ns1", RRSETS), ClaimHelper("a"), Publish("ns1", RRSETS),
        OrderPorts("a", PORTS), Publish("ns1", RRSETS),
    )  # fmt: skip
    for driver in (bench.publisher, bench.fence):
        tokens = [token.seq for _, token, _ in driver.calls if token]
        assert tokens == sorted(tokens)
        assert driver.most_busy == 1


async def test_receivers_do_not_wait_for_each_other() -> None:
    bench = Bench()
    bench.publisher.during = asyncio.Event().wait  # type: ignore[assignment]
    bench.executor.send(bench.order(Publish("ns1", RRSETS)))
    outcomes = await bench.carry_out(Publish("ns2", RRSETS), OrderPorts("a", PORTS))
    assert len(outcomes) == 2
    await bench.executor.close()


async def test_verifying_does_not_wait_for_a_publication_that_hangs() -> None:
    bench = Bench()
    blocked = asyncio.Event()

    async def only_writes() -> None:
        if bench.publisher.calls[-1][0] == "publish":
            await blocked.wait()

    bench.publisher.during = only_writes
    bench.executor.send(bench.order(Publish("ns1", RRSETS)))
    await asyncio.sleep(0)
    (outcome,) = await bench.carry_out(Verify("ns1", RRSETS))
    assert outcome.token.seq == 2
    await bench.executor.close()


async def test_an_order_that_waited_too_long_for_its_turn_is_unknown_and_never_sent() -> None:
    bench = Bench()
    bench.publisher.during = asyncio.Event().wait  # type: ignore[assignment]
    bench.executor.send(bench.order(Publish("ns1", RRSETS), 0.05))
    bench.executor.send(bench.order(Publish("ns1", RRSETS), 0.01))
    first, second = await bench.until(2)
    assert (first.token.seq, first.result) == (2, Result.UNKNOWN)
    assert (second.token.seq, second.result) == (1, Result.UNKNOWN)
    assert len(bench.publisher.calls) == 1


@pytest.mark.parametrize(("waited_s", "sent"), [(7.0, True), (9.0, False)])
async def test_an_order_that_opens_is_not_sent_when_it_would_end_after_its_expiry(
    waited_s: float, sent: bool
) -> None:
    """Who counts on the end of a lease counts from there."""
    bench = Bench()
    terms = Terms(lease_s=15.0, hook=Hook.PROMOTE)
    order = bench.order(OrderPorts("a", {"imaps": OPEN}, terms), 8.0 + terms.extra_s)
    bench.now_s += waited_s
    bench.executor.send(order)
    (outcome,) = await bench.until(1)
    assert (len(bench.fence.calls) == 1) is sent
    assert (outcome.detail == "not sent: its time had passed") is not sent


async def test_an_order_that_closes_may_be_sent_until_it_expires() -> None:
    bench = Bench()
    terms = Terms(stop=True, hook=Hook.DEMOTE)
    order = bench.order(OrderPorts("a", {"imaps": CLOSED}, terms), 8.0 + terms.extra_s)
    bench.now_s += 8.0 + terms.extra_s - 0.5
    bench.executor.send(order)
    await bench.until(1)
    assert len(bench.fence.calls) == 1


async def test_closing_stops_what_is_under_way_without_an_outcome() -> None:
    """The next controller finds out."""
    bench = Bench()
    bench.publisher.during = asyncio.Event().wait  # type: ignore[assignment]
    bench.executor.send(bench.order(Publish("ns1", RRSETS)))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await bench.executor.close()
    assert bench.reported.empty()
    assert bench.publisher.busy == 0
    await bench.executor.close()


@pytest.mark.parametrize(
    ("rrset", "rule"),
    [
        (RRset("mail.example.test.", "A", 30, ()), "I2"),
        (RRset("www.example.test.", "A", 30, ("192.0.2.1",)), "I3"),
    ],
)
async def test_an_order_that_breaks_a_rule_by_itself_is_not_sent(rrset: RRset, rule: str) -> None:
    bench = Bench()
    (outcome,) = await bench.carry_out(Publish("ns1", (rrset,)))
    assert outcome.result is Result.FAILED
    assert rule in outcome.detail
    assert bench.publisher.calls == []


async def test_a_node_that_is_slow_to_switch_off_may_be_ordered_otherwise_meanwhile() -> None:
    bench = Bench()
    hold = asyncio.Event()

    async def held() -> None:
        await hold.wait()

    bench.switch.during = held
    bench.executor.send(bench.order(PowerOff("a")))
    (outcome,) = await bench.carry_out(OrderPorts("a", PORTS))
    assert outcome.fence is FenceOutcome.CONFIRMED
    hold.set()
    assert [each.scope for each in await bench.until(2)] == [Scope.USERS, Scope.POWER]
