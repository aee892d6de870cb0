"""The loop: nothing is sent that was not recorded, nothing that fails ends it, and it wakes at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from tests.doubles.coordination import MemoryClient, MemoryStore
from tests.simulation import virtual
from tests.unit.core.scene import STORE, Scene, policy_of

from mailward.controller import loop
from mailward.controller.core import invariants
from mailward.controller.executor import Executor
from mailward.controller.loop import STEPS_WITHOUT_REST, Loop
from mailward.model.clock import Moment
from mailward.model.decision import Condition, Decision
from mailward.model.errors import ForeignStore, StoreError
from mailward.model.fencing import FenceOutcome
from mailward.model.orders import Order, Outcome, Result
from mailward.model.ports import Commit, Recorded
from mailward.model.snapshot import Leader, ObserverView, Snapshot, Standing
from mailward.model.state import Pause, Phase, State
from mailward.model.token import Token


class Recorder(Executor):
    """Carries out nothing: it keeps what it is given, checks that it is recorded, and answers DONE after
    a tenth of a second."""

    def __init__(self, stage: "Stage", report: Callable[[Outcome], None]) -> None:
        super().__init__(
            publishers={}, fences={}, lag_sources={}, clock=stage,
            policy=policy_of(), may_act_until_s=stage.client.may_act_until_s, report=report,
        )  # fmt: skip
        self.stage = stage
        self.answer = report
        self.sent: list[tuple[float, Order]] = []
        self.closed = False

    def send(self, order: Order) -> None:
        assert order in self.stage.store.state.orders, "sent without being recorded"
        self.sent.append((self.stage.time(), order))
        outcome = Outcome(order.token, Result.DONE, self.stage.now(), "", FenceOutcome.CONFIRMED)
        asyncio.get_running_loop().call_later(0.1, self.answer, outcome)

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A loop on a store in memory, in virtual time; the scene says what the observers see."""

    def __init__(self, client: Callable[[MemoryStore], MemoryClient] = MemoryClient) -> None:
        self.scene = Scene()
        self.tilted = False
        self.bound = ""
        self.store = MemoryStore(State(STORE, 0))
        self.client = client(self.store)
        self.steps: list[float] = []
        self.views: Callable[[], Sequence[ObserverView]] = lambda: self.scene.snapshot().observers
        self.look_on: Callable[[Snapshot, Decision], None] = lambda *_: None
        self.loop = Loop(
            name="one",
            policy=self.scene.policy,
            coordination=self.client,
            executor_with=self._executor,
            views=self._seen,
            clock=self,
            tilted=lambda: self.tilted,
            bound=lambda: self.bound,
            on_decision=self._decided,
        )
        self.task = asyncio.create_task(self.loop.run())

    def _executor(self, report: Callable[[Outcome], None]) -> Recorder:
        self.executor = Recorder(self, report)
        return self.executor

    def _seen(self) -> Sequence[ObserverView]:
        return self.views()

    def _decided(self, snapshot: Snapshot, decision: Decision) -> None:
        self.steps.append(self.time())
        self.look_on(snapshot, decision)

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> Moment:
        self.scene.now_s = 100_000.0 + self.time()
        return self.scene.now

    def down(self, for_s: float = 5.0) -> None:
        """imaps of a fails, the first symptom `for_s` ago, and it is reported."""
        self.now()
        self.scene.down("a", "imaps", for_s=for_s)
        self.loop.wake()

    def kinds(self) -> list[str]:
        return [order.action.kind for _, order in self.executor.sent]


def play(
    story: Callable[[Stage], Awaitable[None]], client: Callable[[MemoryStore], MemoryClient] = MemoryClient
) -> None:
    async def main() -> None:
        stage = Stage(client)
        try:
            await story(stage)
        finally:
            stage.task.cancel()
            await asyncio.gather(stage.task, return_exceptions=True)

    virtual.run(main())


async def settled(stage: Stage) -> None:
    await asyncio.sleep(3)
    assert stage.store.state.operation is None
    assert stage.loop.problem == ""
    stage.executor.sent.clear()


def test_what_is_recorded_is_sent_and_its_outcome_comes_back_as_evidence() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(3)
        assert stage.kinds() == ["claim-target", "claim-helper", "claim-helper", "publish", "verify"]
        assert not stage.store.state.orders
        assert stage.loop.counters.orders_sent == 5
        assert stage.loop.counters.commits == {"COMMITTED": stage.store.commits}

    play(story)


def test_a_commit_that_lost_sends_nothing_and_is_decided_anew() -> None:
    async def story(stage: Stage) -> None:
        stage.store.answers = [(Commit.LOST, False)] * 3
        await asyncio.sleep(0.05)
        assert [order.token.seq for _, order in stage.executor.sent] == [1, 2, 3]
        assert stage.loop.counters.commits == {"LOST": 3, "COMMITTED": 1}
        assert stage.executor.sent[0][0] == 0.0

    play(story)


def test_a_commit_lost_to_a_pause_is_decided_with_the_pause() -> None:
    class PausedMeanwhile(MemoryClient):
        async def record(self, state: State, seen: object) -> Commit:
            if self.store.pause is None and state.operation is not None:
                await self.post(Pause("ann", "wait", Moment("boot-1", 0, 0), 1e12))
            return await super().record(state, seen)  # type: ignore[arg-type]

    async def story(stage: Stage) -> None:
        await asyncio.sleep(3)
        assert "publish" not in stage.kinds()
        assert stage.store.state.operation is None

    play(story, PausedMeanwhile)


def test_an_unknown_commit_that_was_applied_is_found_by_reading_and_sent_once() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.store.answers = [(Commit.UNKNOWN, True)] * 20
        stage.down()
        await asyncio.sleep(5)
        assert stage.kinds() == ["publish", "order-ports", "verify"]
        assert stage.store.state.operation is None
        assert "LOST" not in stage.loop.counters.commits

    play(story)


def test_an_unknown_commit_that_was_not_applied_sends_nothing_says_so_and_is_tried_again() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.store.answers = [(Commit.UNKNOWN, False)] * 3
        stage.down()
        await asyncio.sleep(3.2)
        assert stage.executor.sent == []
        assert stage.loop.problem == "the store did not take the new state; it is read and decided again"
        await asyncio.sleep(3)
        assert stage.kinds() == ["publish", "order-ports", "verify"]
        assert stage.loop.problem == ""

    play(story)


def test_a_state_that_another_epoch_wrote_is_not_taken_for_ours() -> None:
    """The same words under another leader are not a commit of ours."""

    class TakenOver(MemoryClient):
        async def record(self, state: State, seen: object) -> Commit:
            said = await super().record(state, seen)  # type: ignore[arg-type]
            if said is Commit.UNKNOWN:
                versions = self.store.versions
                self.store.versions = replace(versions, epoch=versions.epoch + 1)
            return said

    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.store.answers = [(Commit.UNKNOWN, True)]
        stage.down()
        await asyncio.sleep(0.5)
        assert stage.executor.sent == []

    play(story, TakenOver)


def test_commits_that_always_lose_do_not_spin_and_are_told() -> None:
    async def story(stage: Stage) -> None:
        stage.store.answers = [(Commit.LOST, False)] * 1000
        await asyncio.sleep(3.5)
        assert len(stage.steps) == 4 * STEPS_WITHOUT_REST
        assert stage.loop.problem.startswith("the decision could not be recorded")
        stage.store.answers.clear()
        await asyncio.sleep(3)
        assert stage.loop.problem == ""

    play(story)


def test_a_step_that_fails_holds_automation_says_so_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        views = stage.views

        def broken() -> Sequence[ObserverView]:
            raise ZeroDivisionError

        stage.views = broken
        stage.loop.wake()
        await asyncio.sleep(2.5)
        assert stage.loop.problem == "a step of the controller failed: ZeroDivisionError"
        assert stage.loop.counters.errors == 3
        stage.views = views
        stage.down()
        await asyncio.sleep(3)
        assert stage.loop.problem == ""
        assert stage.store.state.phase_of("a", "mail.example.test").phase is Phase.OUT  # type: ignore[union-attr]

    play(story)
    assert caplog.text.count("automation is held: a step of the controller failed") == 1


def test_a_decision_that_would_break_a_rule_holds_automation_and_loses_no_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        with monkeypatch.context() as patched:
            patched.setattr(invariants, "violations", lambda *_: ("I2: as told",))
            stage.loop._came_back(Outcome(Token(STORE, 1, 1), Result.DONE, stage.now()))
            await asyncio.sleep(2)
            assert stage.loop.problem == "a decision would break a rule: I2: as told"
            assert stage.loop.snapshot is not None
            assert len(stage.loop.snapshot.outcomes) == 1
        await asyncio.sleep(2)
        assert stage.loop.problem == ""

    play(story)


def test_who_does_not_trust_its_own_sense_of_time_steps_down() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.tilted = True
        commits = stage.store.commits
        stage.down()
        await asyncio.sleep(5)
        assert stage.store.commits == commits
        stage.tilted = False
        await asyncio.sleep(5)
        assert stage.store.commits > commits

    play(story)


def test_who_does_not_lead_any_more_decides_no_change() -> None:
    class Deposed(MemoryClient):
        deposed = False

        async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
            return Standing.FOLLOWING if self.deposed else await super().lead(willing=willing)

    async def story(stage: Stage) -> None:
        await settled(stage)
        assert isinstance(stage.client, Deposed)
        stage.client.deposed = True
        commits = stage.store.commits
        stage.down()
        await asyncio.sleep(10)
        assert stage.store.commits == commits
        assert stage.loop.snapshot is not None
        assert stage.loop.snapshot.standing is Standing.FOLLOWING

    play(story, Deposed)


def test_a_store_that_cannot_be_read_holds_automation_with_its_own_words() -> None:
    class Broken(MemoryClient):
        broken = False

        async def read(self) -> Recorded:
            if self.broken:
                raise StoreError("state.json is not JSON")
            return await super().read()

    async def story(stage: Stage) -> None:
        await settled(stage)
        assert isinstance(stage.client, Broken)
        stage.client.broken = True
        await asyncio.sleep(2)
        assert stage.loop.problem == "state.json is not JSON"
        assert stage.loop.counters.errors == 0
        stage.client.broken = False
        await asyncio.sleep(2)
        assert stage.loop.problem == ""

    play(story, Broken)


def test_while_the_store_cannot_be_read_it_goes_on_looking_as_one_who_may_do_nothing() -> None:
    """What is shown is of now; it was the last picture, and said that it led."""

    class Broken(MemoryClient):
        broken = False

        async def read(self) -> Recorded:
            if self.broken:
                raise StoreError("nobody answers")
            return await super().read()

    async def story(stage: Stage) -> None:
        await settled(stage)
        assert isinstance(stage.client, Broken)
        stage.client.broken = True
        stage.down()
        await asyncio.sleep(5)
        snapshot = stage.loop.snapshot
        assert snapshot is not None
        assert snapshot.standing is Standing.FOLLOWING
        assert snapshot.now.boot_s == pytest.approx(100_008, abs=1)
        assert stage.loop.read_at is not None
        assert stage.loop.read_at.boot_s == pytest.approx(100_003, abs=1)
        assert stage.loop.decision is not None
        assert any(each.condition is Condition.FAILED for each in stage.loop.decision.explanations)
        assert stage.kinds() == []
        stage.client.broken = False
        await asyncio.sleep(2)
        assert snapshot is not stage.loop.snapshot
        assert "publish" in stage.kinds()

    play(story, Broken)


def test_a_look_without_the_store_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(MemoryClient):
        broken = False

        async def read(self) -> Recorded:
            if self.broken:
                raise StoreError("nobody answers")
            return await super().read()

    def fails(_snapshot: Snapshot) -> Decision:
        raise ZeroDivisionError

    async def story(stage: Stage) -> None:
        await settled(stage)
        assert isinstance(stage.client, Broken)
        stage.client.broken = True
        with monkeypatch.context() as patch:
            patch.setattr(loop, "decide", fails)
            await asyncio.sleep(3)
            assert stage.loop.counters.errors > 0
        assert stage.loop.problem == "nobody answers"
        stage.client.broken = False
        await asyncio.sleep(2)
        assert stage.loop.problem == ""

    play(story, Broken)


def test_who_looks_on_and_fails_does_not_hold_up_a_failover(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        def fails(_snapshot: Snapshot, _decision: Decision) -> None:
            raise RuntimeError("display")

        stage.look_on = fails
        await settled(stage)

    play(story)
    assert "who looks on failed" in caplog.text


def test_a_report_is_looked_at_at_once() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        await asyncio.sleep(0.123)
        begin = stage.time()
        stage.down()
        await asyncio.sleep(0.01)
        assert stage.executor.sent[0][0] == begin
        assert stage.executor.sent[0][1].action.kind == "publish"

    play(story)


def test_a_report_that_arrives_in_the_middle_of_a_step_is_not_missed() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)

        def meanwhile(_snapshot: Snapshot, _decision: Decision) -> None:
            stage.look_on = lambda *_: None
            stage.down()

        stage.look_on = meanwhile
        begin = stage.time()
        stage.loop.wake()
        await asyncio.sleep(0.01)
        assert stage.executor.sent[0][0] == begin

    play(story)


def test_an_outcome_is_looked_at_at_once() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        begin = stage.time()
        stage.down()
        await asyncio.sleep(1)
        times = [round(at - begin, 6) for at, _ in stage.executor.sent]
        assert times == [0.0, 0.1, 0.2]

    play(story)


def test_an_outcome_that_came_with_a_lost_commit_is_kept_for_the_next() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.down()
        await asyncio.sleep(0.05)
        stage.store.answers = [(Commit.LOST, False)] * 5
        await asyncio.sleep(0.5)
        assert stage.kinds() == ["publish", "order-ports", "verify"]

    play(story)


def test_the_grace_is_over_without_any_news() -> None:
    """By time alone: the loop looks again by itself."""

    async def story(stage: Stage) -> None:
        await settled(stage)
        begin = stage.time()
        stage.down(for_s=0)
        await asyncio.sleep(3)
        assert 1.0 <= stage.executor.sent[0][0] - begin <= 1.11

    play(story)


def test_a_quiet_cluster_is_looked_at_once_a_second_and_nothing_is_written() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        stage.steps.clear()
        commits = stage.store.commits
        await asyncio.sleep(10)
        assert len(stage.steps) == 10
        assert stage.store.commits == commits

    play(story)


def test_a_foreign_target_ends_the_loop_with_nothing_recorded_and_nothing_under_way() -> None:
    class Foreign(Recorder):
        def send(self, order: Order) -> None:
            outcome = Outcome(order.token, Result.FOREIGN, self.stage.now(), "it is theirs")
            asyncio.get_running_loop().call_later(0.1, self.answer, outcome)

    async def main() -> None:
        stage = Stage.__new__(Stage)
        stage._executor = lambda report: setattr(stage, "executor", Foreign(stage, report)) or stage.executor  # type: ignore[method-assign,func-returns-value]
        stage.__init__()  # type: ignore[misc]
        await asyncio.sleep(1)
        before = stage.store.commits
        with pytest.raises(ForeignStore, match="belongs to another store"):
            await stage.task
        assert "belongs to another store" in stage.loop.problem
        assert stage.executor.closed
        assert stage.store.commits == before

    virtual.run(main())


def test_a_cancelled_loop_closes_its_executor() -> None:
    async def main() -> None:
        stage = Stage()
        await asyncio.sleep(1)
        stage.task.cancel()
        await asyncio.gather(stage.task, return_exceptions=True)
        assert stage.executor.closed

    virtual.run(main())


def test_a_notice_is_logged_when_it_comes_up_and_not_in_every_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stage: Stage) -> None:
        with caplog.at_level(logging.WARNING):
            stage.loop._publish(stage.scene.snapshot(), replace(stage.scene.look(), notices=("once",)))
            stage.loop._publish(stage.scene.snapshot(), replace(stage.scene.look(), notices=("once",)))
            stage.loop._publish(stage.scene.snapshot(), replace(stage.scene.look(), notices=()))
            stage.loop._publish(stage.scene.snapshot(), replace(stage.scene.look(), notices=("once",)))

    play(story)
    assert [record.message for record in caplog.records].count("once") == 2


def test_the_last_snapshot_and_decision_can_be_looked_at() -> None:
    async def story(stage: Stage) -> None:
        assert (stage.loop.problem, stage.loop.decision) == ("starting", None)
        await settled(stage)
        assert stage.loop.snapshot is not None
        assert stage.loop.decision is not None
        assert stage.loop.decision.state == stage.store.state
        assert stage.loop.counters.steps == len(stage.steps)

    play(story)


def leads(stage: Stage) -> bool:
    return stage.loop.leads


def test_who_is_bound_by_a_promise_steps_down_and_leads_again_when_it_is_over() -> None:
    async def story(stage: Stage) -> None:
        await settled(stage)
        assert leads(stage)
        stage.bound, commits = "it has promised", stage.store.commits
        stage.down()
        await asyncio.sleep(10)
        assert not leads(stage)
        assert stage.store.commits == commits
        stage.bound = ""
        stage.down()
        await asyncio.sleep(10)
        assert leads(stage)
        assert stage.store.commits > commits

    play(story)


def test_a_promise_given_while_it_is_being_elected_is_kept() -> None:
    """It was not leading yet when it was asked, and is a moment later: nothing is recorded by it."""

    class Slow(MemoryClient):
        slow = False
        asked: Callable[[], None] = staticmethod(lambda: None)

        async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
            if self.slow and willing:
                self.asked()
            return await super().lead(willing=willing)

    async def story(stage: Stage) -> None:
        assert isinstance(stage.client, Slow)
        stage.bound = "its process has just begun"
        await asyncio.sleep(5)
        assert not leads(stage)
        commits, stage.bound = stage.store.commits, ""

        def asked() -> None:
            assert not leads(stage)
            stage.bound = "it has promised"

        stage.client.slow, stage.client.asked = True, asked
        stage.down()
        await asyncio.sleep(10)
        assert stage.bound
        assert stage.store.commits == commits
        assert not leads(stage)

    play(story, Slow)


def test_a_promise_given_while_it_stands_against_a_leader_that_is_gone_is_kept() -> None:
    class Deposing(MemoryClient):
        asked: Callable[[], None] = staticmethod(lambda: None)

        async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
            if over is None and not self.leads:
                return Standing.FOLLOWING
            if over is not None:
                self.asked()
            return await super().lead(willing=willing)

        async def read(self) -> Recorded:
            return replace(await super().read(), leader=None if self.leads else Leader("two", 3, "n2"))

    async def story(stage: Stage) -> None:
        assert isinstance(stage.client, Deposing)

        def asked() -> None:
            stage.bound = "it has promised"

        stage.client.asked = asked
        snapshot_of = stage.views
        stage.views = lambda: [
            replace(view, report=replace(view.report, gone=("n2",)) if view.report else None)
            for view in snapshot_of()
        ]
        stage.loop.wake()
        await asyncio.sleep(10)
        assert stage.bound
        assert stage.store.commits == 0
        assert not leads(stage)

    play(story, Deposing)
