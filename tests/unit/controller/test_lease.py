"""The lease beside a node: renewed after an acknowledged report and a reading, or by everybody's promise."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from tests.simulation import virtual
from tests.unit.core.scene import cluster_of

from mailward.controller.lease import VOID_AFTER_S, LeaseKeeper
from mailward.model.clock import Moment
from mailward.model.errors import StoreError
from mailward.model.fencing import (
    OPEN,
    PLAIN,
    FenceOutcome,
    HelperAnswer,
    HelperReply,
    NodeFacts,
    PortMap,
    Scope,
    Terms,
)
from mailward.model.report import LeaseReport
from mailward.model.state import HelperRecord, Phase, PhaseRecord, PortsRecord, State
from mailward.model.token import Sent, Token

LEASE_S = 10.0
STORE = "0123456789abcdef"
ORDERED, NEWER, NEVER_SENT = Token(STORE, 3, 7), Token(STORE, 3, 8), Token(STORE, 9, 1)
POLICY = cluster_of()
POLICY = replace(POLICY, rules=replace(POLICY.rules, lease_s=LEASE_S))


def state_with(phase: Phase, helper: HelperRecord | None = None) -> State:
    at = Moment("boot", 0.0, 0.0)
    ports = {service.name: OPEN for service in POLICY.services}
    return State(
        STORE,
        3,
        phases=tuple(PhaseRecord("a", endpoint.name, phase, at) for endpoint in POLICY.endpoints),
        helpers=(helper or HelperRecord("a", claimed=ORDERED, sent=Sent(last=ORDERED)),),
        ports=(
            PortsRecord("a", ORDERED, ports, FenceOutcome.CONFIRMED, Scope.NONE, at, lease_s=15.0, opened=at),
        ),
    )


SERVES, FENCED = state_with(Phase.IN_SERVICE), state_with(Phase.OUT)


@dataclass
class Kernel:
    """A helper with a lease that began at 0, and obeys one token."""

    now_s: Callable[[], float]
    highest: Token = ORDERED
    ends_s: float = LEASE_S
    hangs: bool = False
    answers: bool = True
    asked: list[tuple[float, Token]] = field(default_factory=list)
    renewed: list[float] = field(default_factory=list)

    async def renew(self, token: Token) -> HelperAnswer:
        self.asked.append((self.now_s(), token))
        if self.hangs:
            await asyncio.sleep(1000)
        if not self.answers:
            return HelperAnswer(HelperReply.UNKNOWN, detail="no answer")
        if token != self.highest:
            return HelperAnswer(HelperReply.STALE, self.highest, detail="not the highest")
        if self.now_s() >= self.ends_s:
            return HelperAnswer(HelperReply.LAPSED, self.highest, detail="too late")
        self.ends_s = self.now_s() + LEASE_S
        self.renewed.append(self.now_s())
        return HelperAnswer(HelperReply.OBEYED, token)

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        raise NotImplementedError

    async def claim(self, token: Token) -> HelperAnswer:
        raise NotImplementedError

    async def status(self) -> NodeFacts | str:
        raise NotImplementedError


class Stage:
    """A keeper in virtual time. `store` says what a reading finds; None: it does not answer."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.time = loop.time
        self.state = SERVES
        self.fails: Exception | None = None
        self.store_hangs = False
        self.promise = ""
        self.asked_for_promises: list[float] = []
        self.acknowledged: list[LeaseReport] = []
        self.read_at: list[float] = []
        self.kernel = Kernel(loop.time)
        self.keeper = LeaseKeeper(
            node="a", policy=POLICY, helper=self.kernel, clock=virtual.VirtualClock(loop),
            publish=self._publish, read=self._read, promised=self._promised,
        )  # fmt: skip
        self.task = asyncio.create_task(self.keeper.run())

    async def _publish(self) -> None:
        await self._answer()
        self.acknowledged.append(self.keeper.report())

    async def _read(self) -> State:
        await self._answer()
        self.read_at.append(self.time())
        return self.state

    async def _answer(self) -> None:
        await asyncio.sleep(1000.0 if self.store_hangs else 0.05)
        if self.fails is not None:
            raise self.fails

    async def _promised(self) -> str:
        self.asked_for_promises.append(self.time())
        await asyncio.sleep(0.05)
        return self.promise

    @property
    def open(self) -> bool:
        return self.time() < self.kernel.ends_s


def play(story: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        try:
            await story(stage)
        finally:
            stage.task.cancel()
            await asyncio.gather(stage.task, return_exceptions=True)

    virtual.run(main())


LOST = StoreError("there is no connection to ZooKeeper")


def test_a_serving_node_stays_open_and_each_renewal_follows_an_acknowledged_report_and_a_reading() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(60)
        assert stage.open
        assert len(stage.kernel.renewed) == 30  # every 2 s, a fifth of the lease
        assert stage.acknowledged[0].renewing is False
        assert all(report.renewing for report in stage.acknowledged[1:])
        first = stage.kernel.renewed[0]
        assert [at for at in stage.read_at if at <= first] == pytest.approx([0.1, 0.2])

    play(story)


def test_nothing_is_renewed_before_a_report_that_says_so_was_acknowledged() -> None:
    async def story(stage: Stage) -> None:
        stage.fails = LOST
        await asyncio.sleep(30)
        assert stage.kernel.asked == []
        assert stage.asked_for_promises == []

    play(story)


def test_by_promise_nothing_is_renewed_before_the_store_has_heard_that_we_renew() -> None:
    """Whoever leads next would count from a report that says that we do not."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(0.12)
        assert [report.renewing for report in stage.acknowledged] == [False]
        stage.fails = LOST
        await asyncio.sleep(30)
        assert (stage.kernel.asked, stage.asked_for_promises) == ([], [])
        assert "has not heard that we renew" in stage.keeper.kept().trouble

    play(story)


def test_a_node_that_is_to_be_closed_is_renewed_no_more_and_the_report_says_since_when() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(20.5)
        stage.state, renewed = FENCED, stage.kernel.renewed[-1]
        await asyncio.sleep(30)
        assert stage.kernel.asked[-1][0] == renewed
        report = stage.keeper.report()
        assert (report.node, report.renewing) == ("a", False)
        assert report.idle_s == pytest.approx(stage.time() - renewed)
        assert not stage.open
        assert stage.keeper.kept().trouble == ""

    play(story)


def test_whoever_serves_again_is_renewed_after_the_report_that_says_so() -> None:
    async def story(stage: Stage) -> None:
        stage.state = FENCED
        await asyncio.sleep(20)
        assert stage.kernel.asked == []
        stage.state = SERVES
        stage.kernel.ends_s = stage.time() + LEASE_S
        await asyncio.sleep(3)
        assert stage.open
        acknowledged = [report.renewing for report in stage.acknowledged]
        assert acknowledged.index(True) < len(acknowledged)
        assert stage.kernel.asked

    play(story)


def test_without_the_store_it_goes_on_by_promises() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.fails = LOST
        await asyncio.sleep(60)
        assert stage.open
        assert len(stage.asked_for_promises) >= len(stage.kernel.renewed) - 3
        assert stage.keeper.kept().by_promise
        stage.fails = None
        await asyncio.sleep(5)
        assert not stage.keeper.kept().by_promise

    play(story)


def test_a_store_that_hangs_is_as_one_that_is_lost() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.store_hangs = True
        await asyncio.sleep(60)
        assert stage.open
        assert stage.keeper.kept().by_promise

    play(story)


def test_without_store_and_promises_the_lease_runs_out_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        renewed = stage.kernel.renewed[-1]
        stage.fails, stage.promise = LOST, "b does not answer"
        await asyncio.sleep(60)
        assert stage.kernel.ends_s == renewed + LEASE_S
        assert not stage.open
        kept = stage.keeper.kept()
        assert "b does not answer" in kept.trouble
        assert "no connection to ZooKeeper" in kept.trouble
        assert stage.keeper.report().renewing
        assert len(stage.asked_for_promises) < 60

    with caplog.at_level(logging.WARNING):
        play(story)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "is not renewed" in said[0]
    assert "has run out" in said[1]


def test_by_promises_only_the_node_that_was_open_when_the_state_was_last_read() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.state = FENCED
        await asyncio.sleep(3)
        asked = len(stage.kernel.asked)
        stage.fails = LOST
        await asyncio.sleep(30)
        assert len(stage.kernel.asked) == asked
        assert stage.asked_for_promises == []

    play(story)


def test_the_newest_token_is_taken_from_the_helper_where_the_record_explains_it() -> None:
    async def story(stage: Stage) -> None:
        sent = Sent(last=ORDERED).sending(NEWER)
        stage.state = state_with(Phase.IN_SERVICE, HelperRecord("a", claimed=ORDERED, sent=sent))
        stage.kernel.highest = NEWER
        await asyncio.sleep(20)
        assert stage.open
        assert [token for _, token in stage.kernel.asked[:3]] == [ORDERED, NEWER, NEWER]

    play(story)


def test_a_token_that_the_record_does_not_explain_is_not_renewed_with() -> None:
    async def story(stage: Stage) -> None:
        stage.kernel.highest = NEVER_SENT
        await asyncio.sleep(20)
        assert {token for _, token in stage.kernel.asked} == {ORDERED}
        assert not stage.open
        assert stage.keeper.kept().trouble == "not the highest"

    play(story)


def test_by_promise_it_is_renewed_with_whatever_token_of_our_store_has_come_since_it_was_read() -> None:
    """An order, or a claim, that was recorded just before the store was lost."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.fails, stage.kernel.highest = LOST, NEVER_SENT
        await asyncio.sleep(60)
        assert stage.open
        stage.fails = None
        await asyncio.sleep(20)
        assert not stage.open

    play(story)


def test_by_promise_it_is_not_renewed_with_another_stores_token() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.fails, stage.kernel.highest = LOST, replace(NEVER_SENT, store_id="feedfacefeed")
        await asyncio.sleep(20)
        assert {token for _, token in stage.kernel.asked} == {ORDERED}
        assert not stage.open

    play(story)


def test_a_renewal_without_an_answer_counts_as_under_way_until_it_is_void() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(4.5)
        stage.kernel.hangs = True
        await asyncio.sleep(2)
        sent_at = stage.kernel.asked[-1][0]
        stage.state = FENCED
        ended = sent_at + 3.0 + VOID_AFTER_S  # given up after one and a half rounds
        await asyncio.sleep(ended - 0.1 - stage.time())
        assert stage.keeper.report().renewing
        await asyncio.sleep(0.6)
        report = stage.keeper.report()
        assert not report.renewing
        assert report.idle_s == pytest.approx(0.5)

    play(story)


def test_an_answer_that_is_none_counts_alike() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(4.5)
        stage.kernel.answers = False
        await asyncio.sleep(2)
        sent_at = stage.kernel.asked[-1][0]
        stage.state = FENCED
        await asyncio.sleep(sent_at + VOID_AFTER_S - 0.1 - stage.time())
        assert stage.keeper.report().renewing
        await asyncio.sleep(0.2)
        assert not stage.keeper.report().renewing

    play(story)


def test_a_hanging_renewal_is_followed_by_one_that_comes_in_time() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(4.5)
        stage.kernel.hangs = True
        await asyncio.sleep(2)
        stage.kernel.hangs = False
        await asyncio.sleep(30)
        assert stage.open

    play(story)


def test_a_lease_that_has_run_out_is_waited_for_until_an_order_opens_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stage: Stage) -> None:
        stage.kernel.ends_s = 0.0
        await asyncio.sleep(10)
        assert stage.keeper.kept().trouble == "too late"
        stage.kernel.ends_s = stage.time() + LEASE_S
        await asyncio.sleep(30)
        assert stage.open
        assert stage.keeper.kept().trouble == ""

    with caplog.at_level(logging.WARNING):
        play(story)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "WARNING"]


def test_what_nobody_expects_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.fails = RuntimeError("a mistake")
        await asyncio.sleep(3)
        assert "RuntimeError" in stage.keeper.kept().trouble
        stage.fails = None
        await asyncio.sleep(30)
        assert stage.open

    with caplog.at_level(logging.CRITICAL):
        play(story)


def test_a_new_process_goes_on_within_the_lease_of_the_one_before() -> None:
    """Its first report says that it has renewed nothing since it began; the node stays open."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.task.cancel()
        clock = virtual.VirtualClock(asyncio.get_running_loop())
        stage.keeper = LeaseKeeper(
            node="a", policy=POLICY, helper=stage.kernel, clock=clock,
            publish=stage._publish, read=stage._read, promised=stage._promised,
        )  # fmt: skip
        before = len(stage.acknowledged)
        task = asyncio.create_task(stage.keeper.run())
        await asyncio.sleep(30)
        assert stage.open
        first = stage.acknowledged[before]
        assert (first.renewing, first.idle_s < 0.1) == (False, True)
        task.cancel()

    play(story)
