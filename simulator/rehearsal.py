"""A scenario played: the production code lives through it, and every line of it is judged.

The story begins when the cluster has been well for a while. What happens at a moment happens after what is
looked at then. Every rule that never bends is watched all the time, and judged as in a run by chance; what
breaks one is told with its moment, and so is what breaks none because the fault model was left. The same
scenario, policy and seed give the same story.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mailward.controller.telling import told
from mailward.model.decision import Answered
from mailward.model.policy import Policy
from mailward.model.state import State
from mailward.simulator import virtual
from mailward.simulator.audit import Audit
from mailward.simulator.claims import Baseline, Scene
from mailward.simulator.faults import End
from mailward.simulator.scenario import Event, Expected, Scenario
from mailward.simulator.store import Ephemeral, Written
from mailward.simulator.world import World

WARM_UP_S = 60.0
TICK_S = 0.25
LASTING_S = 2.0
"""A hold that is over sooner is no news."""
MOST_LINES = 2000
"""Of what is decided; what happens and what is judged is always told."""


class Told(StrEnum):
    """What a line of the story is."""

    EVENT = "event"
    DECIDED = "decided"
    HELD = "held"
    NOTICE = "notice"
    MET = "met"
    NOT_MET = "not-met"
    BROKEN = "broken"
    OUTSIDE = "outside"
    """Why the fault model was left."""
    EXCUSED = "excused"
    """Objected to after that."""


@dataclass(frozen=True, slots=True)
class Line:
    """`who` decided; '' for what nobody of ours did."""

    at_s: float
    kind: Told
    text: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """An expectation, and since when it was not so, with what was so instead."""

    line: int
    text: str
    met: bool
    at_s: float
    why: str = ""


@dataclass(frozen=True)
class Played:
    """What came of a scenario. Times are seconds of the story. `excused`, `outside` and `set_aside` are as in
    a run by chance."""

    title: str
    seed: int
    hours: float
    story: tuple[Line, ...]
    expected: tuple[Judged, ...]
    violations: tuple[str, ...]
    excused: int
    excused_by_reason: Mapping[str, int]
    outside: tuple[str, ...]
    set_aside: tuple[str, ...]
    operations: int
    digest: str

    @property
    def well(self) -> bool:
        return not self.violations and all(each.met for each in self.expected)


def rehearse(policy: Policy, scenario: Scenario, seed: int, *, to_the_end: bool = True) -> Played:
    """Play a scenario without mistakes, on a loop of its own; not `to_the_end` is until the first thing that
    is not as it should be."""
    rules = replace(policy.rules, **scenario.rules)  # type: ignore[arg-type]
    return virtual.run(_Rehearsal(replace(policy, rules=rules), scenario, seed, to_the_end).play())


@dataclass
class _Watch:
    """An expectation that is being looked at."""

    expected: Expected
    until_s: float
    since: Baseline | None = None


@dataclass
class _Rehearsal:
    policy: Policy
    scenario: Scenario
    seed: int
    to_the_end: bool
    _story: list[Line] = field(default_factory=list)
    _judged: dict[int, Judged] = field(default_factory=dict)
    _watches: list[_Watch] = field(default_factory=list)
    _under_way: dict[tuple[str, tuple[str, ...]], list[End]] = field(default_factory=dict)
    _holding: dict[str, float] = field(default_factory=dict)
    _zero_s: float = 0.0
    _untold: int = 0
    _reasons_told: int = 0

    async def play(self) -> Played:
        rng = random.Random(self.seed)
        self._world = world = World(self.policy, rng.randrange(2**32))
        self._scene = Scene(world, world.new_resolvers(random.Random(0)))
        self._audit = Audit(world, self._objected)
        recorded = world.ensemble.on_commit

        def committed(written: Written) -> None:
            recorded(written)
            self._decided(written.before, written.after, written.leader)

        world.ensemble.on_commit = committed
        world.on_change = lambda _what: self._look()
        await world.open()
        await asyncio.sleep(WARM_UP_S + rng.uniform(0.0, 5.0))
        self._zero_s = self._audit.zero_s = world.now_s
        self._story.clear()
        self._scene.heard.clear()
        self._scene.begun.clear()
        await self._through()
        await world.close()
        return self._played()

    # time

    @property
    def _now_s(self) -> float:
        return self._world.now_s - self._zero_s

    async def _through(self) -> None:
        ends_s = self.scenario.ends_s or 0.0
        start = self._scene.baseline()
        watches = [_Watch(e, min(e.until_s, ends_s)) for e in self.scenario.expected]
        self._watches = watches
        events = list(self.scenario.events)
        moments = {ends_s, *(e.at_s for e in events), *(w.until_s for w in watches)}
        moments |= {w.expected.since_s for w in watches}
        for moment_s in sorted(moments):
            if self._over():
                return
            await self._until(moment_s)
            for watch in [w for w in watches if w.until_s == moment_s]:
                self._judge(watch, watch.since or start, last=True)
            for event in [e for e in events if e.at_s == moment_s and moment_s < ends_s]:
                self._happen(event)
            for watch in [w for w in watches if w.expected.always and w.expected.since_s == moment_s]:
                watch.since = self._scene.baseline()

    async def _until(self, moment_s: float) -> None:
        while (left_s := moment_s - self._now_s) > 1e-6 and not self._over():
            await asyncio.sleep(min(TICK_S, left_s))
            self._look()
            self._note_holds()

    def _over(self) -> bool:
        wrong = bool(self._audit.violations) or any(not each.met for each in self._judged.values())
        return wrong and not self.to_the_end

    # what happens, and what is decided

    def _happen(self, event: Event) -> None:
        self._tell(Told.EVENT, event.text)
        self._world.note(event.text)
        if event.ending:
            for end in self._under_way.pop(event.key, []):
                end()
        else:
            self._under_way.setdefault(event.key, []).append(event.verb.does(self._world, event.said))

    def _decided(self, before: State, after: State, by: Ephemeral | None) -> None:
        started = after.operation
        if started is not None and (before.operation is None or before.operation.id != started.id):
            self._scene.begun.append(started.kind)
        for sentence in told(before, after):
            self._tell(Told.DECIDED, sentence, by.name if by else "")
            self._scene.heard.append(sentence)

    def _note_holds(self) -> None:
        """Why what is wanted is not done, once it has lasted, and each time the gates in the way change."""
        now_s = self._now_s
        holds = {key: (kind, text) for key, kind, text in self._holds()}
        self._holding = {key: self._holding.get(key, now_s) for key in holds}
        leader = self._world.ensemble.leader
        lasting = [t for key, t in holds.items() if 0.0 <= now_s - self._holding[key] - LASTING_S < TICK_S]
        for kind, text in dict.fromkeys(lasting):
            self._tell(kind, text, leader.name if leader else "")
            self._scene.heard.append(text)

    def _holds(self) -> Iterator[tuple[str, Told, str]]:
        """By what they are about."""
        leader = self._world.ensemble.leader
        controller = self._world.controllers.get(leader.name) if leader else None
        loop = controller.loop if controller is not None and controller.runs else None
        if loop is None:
            return
        if loop.problem:
            yield loop.problem, Told.HELD, loop.problem
        decision = loop.decision
        for notice in decision.notices if decision else ():
            yield notice, Told.NOTICE, notice
        for each in decision.explanations if decision else ():
            wrong = [f for f in each.findings if f.answer is not Answered.YES]
            if each.held and wrong:
                first = wrong[0]
                key = f"{each.node} {each.endpoint} {first.gate}"
                yield key, Told.HELD, f"cannot {each.goal} {each.node}: {first.gate}: {first.reason}"

    def _tell(self, kind: Told, text: str, who: str = "") -> None:
        chatter = kind in (Told.DECIDED, Told.HELD, Told.NOTICE)
        if chatter and len(self._story) >= MOST_LINES:
            self._untold += 1
            return
        self._story.append(Line(self._now_s, kind, text, who))

    # judging

    def _look(self) -> None:
        self._audit.look()
        self._note_leaving()
        for watch in self._watches:
            if watch.since is not None and self._now_s < watch.until_s:
                self._judge(watch, watch.since, last=False)

    def _objected(self, sentence: str) -> None:
        self._note_leaving()
        self._tell(Told.EXCUSED if self._audit.outside else Told.BROKEN, sentence)

    def _note_leaving(self) -> None:
        outside = self._audit.outside
        for reason in outside[self._reasons_told :]:
            self._tell(Told.OUTSIDE, reason)
        self._reasons_told = len(outside)

    def _judge(self, watch: _Watch, since: Baseline, *, last: bool) -> None:
        """The first look at which a claim fails is the last word on it."""
        expected = watch.expected
        if expected.line in self._judged:
            return
        why = expected.claim.look(self._scene, expected.said, since)
        if not why and not last:
            return
        self._judged[expected.line] = Judged(expected.line, expected.text, not why, self._now_s, why)
        self._tell(Told.NOT_MET if why else Told.MET, f"{expected.text}{': ' if why else ''}{why}")

    def _played(self) -> Played:
        if self._untold:
            self._tell(Told.EVENT, f"{self._untold} more lines of what was decided are not told")
        return Played(
            title=self.scenario.title,
            seed=self.seed,
            hours=self._now_s / 3600.0,
            story=tuple(self._story),
            expected=tuple(judged for _, judged in sorted(self._judged.items())),
            violations=tuple(self._audit.violations),
            excused=self._audit.excused,
            excused_by_reason=self._audit.excused_by_reason,
            outside=self._audit.outside,
            set_aside=tuple(self._audit.set_aside),
            operations=len(self._scene.begun),
            digest=self._world.digest,
        )
