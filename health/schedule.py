"""When to probe one service: regularly with jitter, and at once when something looks wrong.

In doubt (a held connection is lost, or a probe failed) probes follow each other without a pause, and
without waiting for one that hangs, until there are as many as a verdict takes; never more than two are
under way. While our own rules close the way (`vantage` changes) what was known is forgotten.
"""

import asyncio
import random
from collections.abc import Callable

from mailward.health.detector import Detection
from mailward.health.probe import run_probe
from mailward.health.target import Target
from mailward.model.health import Failure, FailureKind, ProbeResult, ServiceReport, Vantage, Verdict
from mailward.model.ports import Clock

FRESH_TROUBLE_S = 20.0
_AT_ONCE = 2


class Watch:
    """Keeps one service under watch. `changed` is called when what it would report has
    changed, with the verdict before and now."""

    def __init__(
        self,
        target: Target,
        vantage: Callable[[], Vantage],
        clock: Clock,
        slots: asyncio.Semaphore,
        rng: random.Random,
        changed: Callable[[Verdict, Verdict], None],
    ) -> None:
        self.target = target
        self._pace = target.pace
        self._ask_vantage = vantage
        self._clock = clock
        self._slots = slots
        self._rng = rng
        self._changed = changed
        self._vantage = vantage()
        self._detection = Detection(self._now(), target.pace.thresholds)
        self._said: tuple[Verdict, object] = (Verdict.UNKNOWN, None)
        self._flying: set[asyncio.Task[None]] = set()
        self._due_s = 0.0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._flying.clear()
        async with asyncio.TaskGroup() as probes:
            while True:
                self._wake.clear()
                if loop.time() >= self._due_s:
                    self._launch(probes)
                try:
                    async with asyncio.timeout_at(self._due_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def suspect(self) -> None:
        """A held connection was lost or hangs: probe now."""
        if self._vantage is Vantage.DIRECT:
            self._detection = self._detection.suspected(self._now())
            self.probe_now()

    def probe_now(self) -> None:
        self._due_s = 0.0
        self._wake.set()

    def recheck(self) -> None:
        """Look whether the way to the service is another one now."""
        if self._ask_vantage() is not self._vantage:
            self.restart()

    def restart(self) -> None:
        """Forget what was seen: it was seen another way, or by a process that stood still."""
        for probe in self._flying:
            probe.cancel()
        self._flying.clear()
        self._vantage = self._ask_vantage()
        self._detection = Detection(self._now(), self._pace.thresholds)
        self.probe_now()
        self._note()

    def report(self) -> ServiceReport:
        self.recheck()
        now_s = self._now()
        seen = self._detection.judged(now_s)
        return ServiceReport(
            service=self.target.service,
            verdict=seen.verdict,
            vantage=self._vantage,
            verdict_age_s=max(0.0, now_s - seen.since_s),
            probe_age_s=max(0.0, now_s - seen.probed_s),
            symptom_age_s=None if seen.symptom_s is None else max(0.0, now_s - seen.symptom_s),
            last=self._detection.last,
            evidence=seen.evidence,
        )

    def _launch(self, probes: asyncio.TaskGroup) -> None:
        """Start a probe if one is of use, and set when to look again."""
        self.recheck()
        now_s = asyncio.get_running_loop().time()
        enough = _AT_ONCE
        if self._detection.in_doubt:
            enough = min(_AT_ONCE, self._pace.thresholds.down_after - self._detection.failures)
        if len(self._flying) < enough:
            name = f"probe {self.target.node} {self.target.service}"
            probe = probes.create_task(self._probe(), name=name)
            self._flying.add(probe)
            probe.add_done_callback(self._flying.discard)
        self._due_s = now_s + (self._pace.confirm_s if self._detection.in_doubt else self._interval_s())

    async def _probe(self) -> None:
        vantage = self._vantage
        result = await self._look(vantage)
        flying = asyncio.current_task()
        if flying is not None:
            self._flying.discard(flying)
        if self._ask_vantage() is vantage:
            self._take(result)
        else:
            self.recheck()

    async def _look(self, vantage: Vantage) -> ProbeResult:
        connector = self.target.connector(vantage)
        if connector is None:
            return ProbeResult(Failure(FailureKind.LOCAL, "connect", "no way behind the closed port"))
        limits = self._pace.limits if vantage is Vantage.DIRECT else self._pace.behind_limits
        async with self._slots:
            return await run_probe(self.target.settings, connector, self.target.tls, limits, self._wall)

    def _take(self, result: ProbeResult) -> None:
        self._detection = self._detection.fed(result, self._now())
        own_fault = result.failure is not None and result.failure.kind is FailureKind.LOCAL
        if self._detection.in_doubt and not own_fault:
            self.probe_now()
        else:
            self._due_s = asyncio.get_running_loop().time() + self._interval_s()
        self._note()

    def _note(self) -> None:
        """Tell of a change; ages and times change always and are left to the heartbeat."""
        seen = self._detection.judged(self._now())
        failure = self._detection.last.failure if self._detection.last else None
        said = seen.verdict, (seen.symptom_s, self._vantage, failure and (failure.kind, failure.stage))
        before, self._said = self._said, said
        if said != before:
            self._changed(before[0], said[0])

    def _interval_s(self) -> float:
        direct = self._vantage is Vantage.DIRECT
        if direct and self._fresh_trouble():
            return self._pace.confirm_s
        base_s = self._pace.probe_s if direct else self._pace.behind_probe_s
        return base_s * (1.0 + self._pace.jitter * self._rng.uniform(-1.0, 1.0))

    def _fresh_trouble(self) -> bool:
        """Just gone DOWN: whether it is more than a restart is decided by probes that go on failing."""
        symptom_s = self._detection.symptom_s
        down = self._detection.verdict is Verdict.DOWN and self._detection.failures > 0
        return down and symptom_s is not None and self._now() - symptom_s < FRESH_TROUBLE_S

    def _now(self) -> float:
        return self._clock.now().boot_s

    def _wall(self) -> float:
        return self._clock.now().wall_s
