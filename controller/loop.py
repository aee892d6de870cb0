"""The loop: read, freeze a Snapshot, decide, record, send, wait.

Nothing is sent that has not been recorded; a commit whose fate is unknown is read again. The loop wakes
when a report or an outcome arrives, and when the decision says that time alone may change something. It
survives whatever a step throws: the automation is then held, says so, and tries again. While the store is
out of reach it goes on looking, as one who may do nothing: what it sees then is told with what was last read.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mailward.controller.core.decide import decide
from mailward.controller.core.leadership import may_depose, may_lead
from mailward.controller.executor import Executor
from mailward.controller.telling import told
from mailward.model.clock import Moment
from mailward.model.decision import Answered, Decision, Finding
from mailward.model.errors import ForeignStore, StoreError
from mailward.model.orders import Outcome
from mailward.model.policy import Policy
from mailward.model.ports import Clock, Commit, Coordination, Recorded
from mailward.model.snapshot import ObserverView, Snapshot, Standing

log = logging.getLogger(__name__)

RETRY_S = 1.0
STEPS_WITHOUT_REST = 50


@dataclass
class Counters:
    """What the loop has done since it started, for the metrics. `rounds`: whatever came of them."""

    rounds: int = 0
    steps: int = 0
    commits: dict[str, int] = field(default_factory=dict)
    orders_sent: int = 0
    errors: int = 0
    last_step_s: float = 0.0


class Loop:
    """`name` is this observer's. `views` gives the newest reports, `views_apart` those that come without the
    store; who is `tilted`, its sense of time in doubt, or `bound` by a promise not to lead (which says by
    what, or ''), steps down from leading; `on_decision` is called after every step. `leading` says whether
    this controller may lead, `deposing` why the leader is, or is not, stood against; `read_at` is when the
    store was last read."""

    def __init__(
        self,
        *,
        name: str,
        policy: Policy,
        coordination: Coordination,
        executor_with: Callable[[Callable[[Outcome], None]], Executor],
        views: Callable[[], Sequence[ObserverView]],
        views_apart: Callable[[], Sequence[ObserverView]] | None = None,
        clock: Clock,
        tilted: Callable[[], bool] = lambda: False,
        bound: Callable[[], str] = lambda: "",
        on_decision: Callable[[Snapshot, Decision], None] = lambda _snapshot, _decision: None,
    ) -> None:
        self.counters = Counters()
        self.problem = "starting"
        self.snapshot: Snapshot | None = None
        self.decision: Decision | None = None
        self.leading: Finding | None = None
        self.deposing: Finding | None = None
        self.read_at: Moment | None = None
        self._name = name
        self._policy = policy
        self._coordination = coordination
        self._executor = executor_with(self._came_back)
        self._views = views
        self._views_apart = views_apart or views
        self._clock = clock
        self._tilted = tilted
        self._bound = bound
        self._on_decision = on_decision
        self._outcomes: list[Outcome] = []
        self._wake = asyncio.Event()
        self._standing = Standing.FOLLOWING
        self._said: tuple[str, ...] = ()
        self._version: tuple[int, float] | None = None

    def wake(self) -> None:
        """Something has changed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled; ForeignStore when a target or the store is another cluster's (I14)."""
        try:
            while True:
                seconds = await self._round()
                self.counters.rounds += 1
                await self._rest(seconds)
        finally:
            await self._executor.close()

    async def _round(self) -> float:
        """Steps until nothing changes any more; returns how long to wait (seconds)."""
        for _ in range(STEPS_WITHOUT_REST):
            try:
                again = await self._step()
            except (ForeignStore, asyncio.CancelledError):
                raise
            except StoreError as error:
                self._look_without_the_store()
                return self._held(str(error))
            except Exception as error:
                self.counters.errors += 1
                log.exception("a step of the controller failed; automation is held")
                return self._held(f"a step of the controller failed: {type(error).__name__}")
            if again is not None:
                return again
        return self._held(
            f"the decision could not be recorded, or changed {STEPS_WITHOUT_REST} times at once"
        )

    def _held(self, problem: str) -> float:
        if problem != self.problem:
            log.error("automation is held: %s", problem)
        self.problem = problem
        return RETRY_S

    async def _rest(self, seconds: float) -> None:
        enough = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            enough.cancel()
        self._wake.clear()

    async def _step(self) -> float | None:
        """One decision. None when it changed something: then the next follows at once."""
        self._standing = await self._coordination.lead(willing=self._willing())
        recorded = await self._coordination.read()
        snapshot = self._freeze(recorded)
        self.read_at = snapshot.now
        self.leading = may_lead(snapshot, self._name)
        if self._standing is Standing.LEADING and not self._willing():
            log.warning("leaving the lead: %s", self._why_not())
            self._standing = await self._coordination.lead(willing=False)
            snapshot = replace(snapshot, standing=self._standing)
        if await self._stands_against_the_leader(snapshot):
            return None
        decision = decide(snapshot)
        self.counters.steps += 1
        self.counters.last_step_s = self._clock.now().boot_s - snapshot.now.boot_s
        self._publish(snapshot, decision)
        if decision.fatal:
            self.problem = decision.fatal
            raise ForeignStore(decision.fatal)
        if decision.broken:
            return self._held(f"a decision would break a rule: {'; '.join(decision.broken)}")
        if decision.state == recorded.state:
            self.problem = ""
            self._forget(snapshot.outcomes)
            return decision.check_again_s
        if await self._record(decision, recorded):
            self.problem = ""
            self._forget(snapshot.outcomes)
            for order in decision.send:
                self.counters.orders_sent += 1
                self._executor.send(order)
            for sentence in told(recorded.state, decision.state):
                log.info("%s", sentence)
        await asyncio.sleep(0)
        return None

    def _willing(self) -> bool:
        """As of the last reading, and of our sense of time just now."""
        return not self._why_not()

    def _why_not(self) -> str:
        if self.leading is not None and self.leading.answer is not Answered.YES:
            return self.leading.reason
        if self._tilted():
            return "time went wrong here"
        return self._bound()

    @property
    def leads(self) -> bool:
        """Whether it leads, as far as it knows: then what it decides may just be recorded."""
        return self._standing is Standing.LEADING

    async def _stands_against_the_leader(self, snapshot: Snapshot) -> bool:
        """Whether we lead now in the place of one who is gone. It is the leader just read that we stand
        against: another one, elected meanwhile, stays."""
        self.deposing = finding = may_depose(snapshot)
        if finding.answer is not Answered.YES or not self._willing():
            return False
        self._standing = await self._coordination.lead(over=snapshot.leader)
        if self._standing is not Standing.LEADING:
            return False
        log.warning("leading before the last leader's session has ended: %s", finding.reason)
        return True

    def _freeze(self, recorded: Recorded) -> Snapshot:
        now = self._clock.now()
        if self._version is None or self._version[0] != recorded.versions.state:
            self._version = (recorded.versions.state, now.boot_s)
        return Snapshot(
            now=now,
            policy=self._policy,
            state=recorded.state,
            versions=recorded.versions,
            standing=self._standing,
            may_act_until_s=self._coordination.may_act_until_s(),
            observers=tuple(self._views()),
            outcomes=tuple(self._outcomes),
            requests=recorded.requests,
            pause=recorded.pause,
            unchanged_s=now.boot_s - self._version[1],
            leader=recorded.leader,
        )

    def _look_without_the_store(self) -> None:
        """What is seen now, and what was read last."""
        if self.snapshot is None or self._version is None:
            return
        now = self._clock.now()
        snapshot = replace(
            self.snapshot,
            now=now,
            standing=Standing.FOLLOWING,
            may_act_until_s=float("-inf"),
            observers=tuple(self._views_apart()),
            unchanged_s=now.boot_s - self._version[1],
        )
        try:
            self._publish(snapshot, decide(snapshot))
        except Exception:
            self.counters.errors += 1
            log.exception("what is seen without the store could not be judged; what was seen before stays")

    def _publish(self, snapshot: Snapshot, decision: Decision) -> None:
        self.snapshot, self.decision = snapshot, decision
        for notice in decision.notices:
            if notice not in self._said:
                log.warning("%s", notice)
        self._said = decision.notices
        try:
            self._on_decision(snapshot, decision)
        except Exception:
            log.exception("who looks on failed; the controller goes on")

    async def _record(self, decision: Decision, recorded: Recorded) -> bool:
        """Whether the decision is recorded. UNKNOWN is read again: the state holds the epoch's seq,
        so it is ours exactly when it equals what we wrote."""
        commit = await self._coordination.record(decision.state, recorded.versions)
        if commit is Commit.UNKNOWN:
            await asyncio.sleep(RETRY_S / 10)
            found = await self._coordination.read()
            ours = found.state == decision.state and found.versions.epoch == recorded.versions.epoch
            commit = Commit.COMMITTED if ours else Commit.LOST
            if not ours:
                self._held("the store did not take the new state; it is read and decided again")
                await asyncio.sleep(RETRY_S)
        self.counters.commits[commit.value] = self.counters.commits.get(commit.value, 0) + 1
        return commit is Commit.COMMITTED

    def _came_back(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._wake.set()

    def _forget(self, used: Sequence[Outcome]) -> None:
        tokens = {outcome.token for outcome in used}
        self._outcomes = [outcome for outcome in self._outcomes if outcome.token not in tokens]
