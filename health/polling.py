"""What others measure, asked for again and again: the helpers' facts and the sources' lag.

Every call has a deadline. The last good answer is kept with its age; that the newest attempt failed
is said beside it, never instead of it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from mailward.model.fencing import NodeFacts
from mailward.model.ports import Clock, Helper, LagSource
from mailward.model.replication import Confidence, Lag

log = logging.getLogger(__name__)


class FactsPoll:
    """One node's facts, every `every_s` and at once when asked. `changed` is called when there is
    news apart from the free space of paths, which always changes."""

    def __init__(
        self,
        helper: Helper | None,
        every_s: float,
        answer_s: float,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._helper = helper
        self._every_s = every_s
        self._answer_s = answer_s
        self._clock = clock
        self._changed = changed
        self._wake = asyncio.Event()
        self._taken_s = clock.now().boot_s
        self.facts: NodeFacts | None = None
        self.error = "no answer yet" if helper is not None else "no helper is configured"

    @property
    def age_s(self) -> float:
        return max(0.0, self._clock.now().boot_s - self._taken_s)

    def poll_now(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while self._helper is not None:
            self._wake.clear()
            asked_s = self._clock.now().boot_s
            self._take(await self._ask(self._helper), asked_s)
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
        await asyncio.Event().wait()

    async def _ask(self, helper: Helper) -> NodeFacts | str:
        try:
            async with asyncio.timeout(self._answer_s):
                return await helper.status()
        except TimeoutError:
            return f"no answer in {self._answer_s:.0f} s"
        except Exception as error:
            log.exception("the helper's status failed where it should have said why")
            return f"{type(error).__name__} in our own code"

    def _take(self, answer: NodeFacts | str, asked_s: float) -> None:
        before = (self.facts, self.error)
        if isinstance(answer, str):
            self.error = answer
        else:
            self.facts, self.error, self._taken_s = answer, "", asked_s
        if _news(before) != _news((self.facts, self.error)):
            self._changed()


class LagPoll:
    """One source's lags, every `every_s`; in a hurry at once, every `hurried_s`, and each is news. Old
    figures stay, marked STALE, while the source does not answer."""

    def __init__(
        self,
        source: LagSource,
        every_s: float,
        hurried_s: float,
        answer_s: float,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._source = source
        self._every_s = every_s
        self._hurried_s = hurried_s
        self._answer_s = answer_s
        self._clock = clock
        self._changed = changed
        self._hurries = False
        self._wake = asyncio.Event()
        self._lags: tuple[Lag, ...] = ()
        self._taken_s = 0.0

    def lags(self) -> tuple[Lag, ...]:
        """As of now: ages have grown since they were measured."""
        passed_s = max(0.0, self._clock.now().boot_s - self._taken_s)
        return tuple(replace(lag, age_s=lag.age_s + passed_s) for lag in self._lags)

    def hurry(self, wanted: bool) -> None:
        """Whether somebody waits for these figures from now on."""
        if wanted and not self._hurries:
            self._wake.set()
        self._hurries = wanted

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self._measure()
            if self._hurries:
                self._changed()
            try:
                async with asyncio.timeout(self._hurried_s if self._hurries else self._every_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _measure(self) -> None:
        asked_s = self._clock.now().boot_s
        try:
            async with asyncio.timeout(self._answer_s):
                measured: Sequence[Lag] = await self._source.measure()
        except TimeoutError:
            self._mark_stale(f"no answer in {self._answer_s:.0f} s")
        except Exception as error:
            log.exception("a lag source failed where it should have said why")
            self._mark_stale(f"{type(error).__name__} in our own code")
        else:
            self._lags, self._taken_s = tuple(measured), asked_s

    def _mark_stale(self, why: str) -> None:
        self._lags = tuple(
            replace(lag, confidence=Confidence.STALE, detail=why)
            if lag.confidence is Confidence.KNOWN
            else lag
            for lag in self._lags
        )


def _news(seen: tuple[NodeFacts | None, str]) -> tuple[NodeFacts | None, str]:
    facts, error = seen
    return (facts and replace(facts, paths={}), error)
