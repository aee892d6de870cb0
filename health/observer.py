"""All that one daemon sees of its cluster, as one report.

It watches every service of every node, asks the helpers for facts and the lag sources for figures,
and hands over a report on every change and as a heartbeat. It decides nothing. A report is made of
ages, so that no host's clock is compared with another's; while this process does not trust its own
sense of time it says so (`tilted`), and begins its verdicts anew.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mailward.health.polling import FactsPoll, LagPoll
from mailward.health.schedule import Watch
from mailward.health.sentinel import Sentinel
from mailward.health.target import Rhythm, Target
from mailward.health.tasks import guarded
from mailward.health.tilt import TICK_S, Tilt
from mailward.model.health import Vantage, Verdict
from mailward.model.ports import Clock, Helper, LagSource
from mailward.model.report import LeaseReport, NodeReport, Report

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedNode:
    """A node: its services, and its helper (None: nobody can tell what only the node knows)."""

    name: str
    targets: tuple[Target, ...]
    helper: Helper | None = None


class _NodeWatch:
    """Everything that watches one node."""

    def __init__(self, node: WatchedNode, facts: FactsPoll) -> None:
        self.name = node.name
        self.facts = facts
        self.watches: dict[str, Watch] = {}
        self.sentinels: dict[str, Sentinel] = {}

    def report(self) -> NodeReport:
        return NodeReport(
            node=self.name,
            services=tuple(watch.report() for watch in self.watches.values()),
            facts=self.facts.facts,
            facts_age_s=self.facts.age_s,
            helper_error=self.facts.error,
        )


class Observer:
    """Runs all watching of one daemon. `vantage` says which way a (node, service) is to be probed
    now; `publish` gets every report, one at a time, within `Rhythm.publish_s`; `gone` are the processes of
    other daemons that were seen to end, `lease` what is done for that of the node beside us."""

    def __init__(
        self,
        name: str,
        config_digest: str,
        nodes: Sequence[WatchedNode],
        lag_sources: Sequence[LagSource],
        vantage: Callable[[str, str], Vantage],
        clock: Clock,
        publish: Callable[[Report], Awaitable[None]],
        rhythm: Rhythm | None = None,
        rng: random.Random | None = None,
        gone: Callable[[], tuple[str, ...]] = tuple,
        lease: Callable[[], LeaseReport | None] = lambda: None,
    ) -> None:
        self.name = name
        self.latest: Report | None = None
        self._digest = config_digest
        self._vantage = vantage
        self._clock = clock
        self._deliver = publish
        self._gone = gone
        self._lease = lease
        self._rhythm = rhythm or Rhythm()
        self._rng = rng or random.Random()
        self._slots = asyncio.Semaphore(self._rhythm.probes_at_once)
        self._tilt = Tilt(self._rhythm.stall_s, self._rhythm.tilt_s)
        self._news = asyncio.Event()
        self._seq = 0
        self._nodes = [self._watched(node) for node in nodes]
        pace = self._rhythm
        self._lags = [
            LagPoll(each, pace.lag_s, pace.lag_hurried_s, pace.lag_answer_s, clock, self._news.set)
            for each in lag_sources
        ]

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, body in self._bodies().items():
                tasks.create_task(guarded(name, body), name=name)

    def recheck(self) -> None:
        """The recorded port maps changed: look at once which way each service is to be probed."""
        for node in self._nodes:
            for watch in node.watches.values():
                watch.recheck()

    def hurry_lags(self, wanted: bool) -> None:
        """Whether replication is waited for."""
        for poll in self._lags:
            poll.hurry(wanted)

    def tell_now(self) -> None:
        """Something besides what it watches has changed."""
        self._news.set()

    def tilted(self) -> bool:
        """Whether its own sense of time is in doubt."""
        return self._tilt.tilted(self._clock.now())

    def report(self) -> Report:
        """What is seen now, numbered. `latest` is the newest."""
        self._seq += 1
        self.latest = Report(
            observer=self.name,
            seq=self._seq,
            config_digest=self._digest,
            nodes=tuple(node.report() for node in self._nodes),
            lags=tuple(lag for poll in self._lags for lag in poll.lags()),
            tilted=self.tilted(),
            gone=self._gone(),
            lease=self._lease(),
        )
        return self.latest

    def _watched(self, node: WatchedNode) -> _NodeWatch:
        rhythm = self._rhythm
        facts = FactsPoll(node.helper, rhythm.facts_s, rhythm.facts_answer_s, self._clock, self._news.set)
        watched = _NodeWatch(node, facts)
        for target in node.targets:
            self._add(watched, target)
        return watched

    def _add(self, node: _NodeWatch, target: Target) -> None:
        def vantage() -> Vantage:
            return self._vantage(target.node, target.service)

        def changed(before: Verdict, now: Verdict) -> None:
            self._news.set()
            if now is not Verdict.UP or before is Verdict.UP:
                node.facts.poll_now()
                self._look_elsewhere(node)
            elif target.service in node.sentinels:
                node.sentinels[target.service].hurry()

        def alarm(why: str) -> None:
            log.info("%s %s: %s; probing now", target.node, target.service, why)
            watch.suspect()
            node.facts.poll_now()
            self._look_elsewhere(node)

        def wanted() -> bool:
            return vantage() is Vantage.DIRECT

        watch = Watch(target, vantage, self._clock, self._slots, self._rng, changed)
        node.watches[target.service] = watch
        if target.held:
            node.sentinels[target.service] = Sentinel(target, wanted, alarm, self._rng)

    def _look_elsewhere(self, troubled: "_NodeWatch") -> None:
        """Ask the other nodes as well: whether it is only this one decides what is done."""
        for node in self._nodes:
            if node is not troubled:
                for watch in node.watches.values():
                    watch.probe_now()

    def _bodies(self) -> dict[str, Callable[[], Awaitable[None]]]:
        bodies: dict[str, Callable[[], Awaitable[None]]] = {"tilt": self._feel, "report": self._publish}
        for node in self._nodes:
            bodies[f"facts {node.name}"] = node.facts.run
            for service, watch in node.watches.items():
                bodies[f"watch {node.name} {service}"] = watch.run
            for service, sentinel in node.sentinels.items():
                bodies[f"sentinel {node.name} {service}"] = sentinel.run
        for index, poll in enumerate(self._lags):
            bodies[f"lag {index}"] = poll.run
        return bodies

    async def _feel(self) -> None:
        """Notice when time does not pass as it should."""
        loop = asyncio.get_running_loop()
        while True:
            wrong = self._tilt.tick(loop.time(), self._clock.now())
            if wrong:
                log.warning("tilted for %.0f s: %s", self._rhythm.tilt_s, wrong)
                for node in self._nodes:
                    for watch in node.watches.values():
                        watch.restart()
                self._news.set()
            await asyncio.sleep(TICK_S)

    async def _publish(self) -> None:
        while True:
            self._news.clear()
            report = self.report()
            try:
                async with asyncio.timeout(self._rhythm.publish_s):
                    await self._deliver(report)
            except TimeoutError:
                log.warning("report %d was not taken in %.0f s", report.seq, self._rhythm.publish_s)
            try:
                async with asyncio.timeout(self._rhythm.heartbeat_s):
                    await self._news.wait()
            except TimeoutError:
                pass
