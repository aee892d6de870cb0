"""I9, I10 and I16: one operation at a time, none in a pause, each with a reason and an end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.state import Kind, Operation, State, Step
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.world import World


@dataclass
class Operations:
    """I9: a pause holds what automation would begin. I10: an operation that is over has ended in words.
    I16: each has a reason."""

    truth: Truth
    rule: str = ""

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            found += self._judge(world, commit.before, commit.after)
        return found

    def _judge(self, world: World, before: State, after: State) -> list[str]:
        found = []
        started, ended = after.operation, before.operation
        if started is not None and (ended is None or ended.id != started.id):
            found += self._start(world, ended, started)
        over = ended is not None and (started is None or started.id != ended.id)
        if ended is not None and over and not any(each.operation.id == ended.id for each in after.ended):
            found.append(f"I10: {ended.kind} {ended.id} vanished without an ending")
        return found

    def _start(self, world: World, ended: Operation | None, started: Operation) -> list[str]:
        found = []
        kinds = (Kind.FAILOVER, Kind.READMIT, Kind.SWITCHOVER)
        planned = started.kind in kinds and started.request is None
        goes_on = ended is not None and (_becomes_a_failover(ended, started) or _goes_back(ended, started))
        paused = world.ensemble.pause is not None and world.pause_in_force_everywhere()
        if paused and planned and not goes_on:
            found.append(f"I9: {started.kind} {started.id} began during a pause")
        if not started.reason:
            found.append(f"I16: {started.kind} {started.id} has no reason")
        return found


@dataclass
class Explained:
    """I16: whoever leads can say of every node why it does what it does."""

    truth: Truth
    rule: str = "I16"
    _asked_s: float = float("-inf")

    def look(self, world: World, _news: News) -> Sequence[str]:
        if world.now_s < self._asked_s + 60.0:
            return []
        self._asked_s = world.now_s
        found = []
        for controller in world.controllers.values():
            decision = controller.loop.decision if controller.loop is not None else None
            if decision is None:
                continue
            for each in decision.explanations:
                if not each.evidence or not each.findings or not all(f.reason for f in each.findings):
                    found.append(f"{controller.name} does not say why of {each.node} for {each.endpoint}")
        return found


@dataclass
class NoErrors:
    """No step of a controller fails in a way nobody foresaw."""

    truth: Truth
    rule: str = "errors"
    _seen: dict[str, int] = field(default_factory=dict)

    def look(self, world: World, _news: News) -> Sequence[str]:
        found = []
        for name, controller in world.controllers.items():
            loop = controller.loop
            errors = loop.counters.errors if loop is not None else 0
            broken = "; ".join(loop.decision.broken) if loop is not None and loop.decision is not None else ""
            if errors > self._seen.get(name, 0) or broken:
                found.append(f"{name}: {broken or (loop and loop.problem)}")
            self._seen[name] = errors
        return found


def _becomes_a_failover(planned: Operation, failover: Operation) -> bool:
    """What was begun by plan goes on as a failover when its node has failed."""
    by_plan = planned.kind in (Kind.DRAIN, Kind.SWITCHOVER)
    return by_plan and failover.kind is Kind.FAILOVER and failover.node == planned.node


def _goes_back(planned: Operation, readmission: Operation) -> bool:
    """A drain that is rolled back ends where it began: its node is published again, at once."""
    published = readmission.kind is Kind.READMIT and readmission.step is Step.PUBLISH
    return planned.kind is Kind.DRAIN and published and readmission.node == planned.node
