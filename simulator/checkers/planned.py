"""What is begun later than it was asked for, or by nobody's word: a switchover for later, and a failback."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.controller.core.later import LATE_S
from mailward.model.policy import Automation, Failback
from mailward.model.state import Cause, Kind, Operation, Phase
from mailward.simulator.checkers.truth import OLD_S, News, Truth
from mailward.simulator.network import EPOCH_WALL_S
from mailward.simulator.store import Written
from mailward.simulator.world import World

DAY_S = 86400.0
SLACK_S = 2.0


@dataclass
class _Clocks:
    """What the wall clock of each host has shown lately: one that jumps may be set back before what was
    decided by it is recorded."""

    _ahead: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)

    def look(self, world: World) -> None:
        for name, controller in world.controllers.items():
            shown = self._ahead.setdefault(name, deque())
            shown.append((world.now_s, controller.host.wall_offset_s))
            while shown[0][0] < world.now_s - OLD_S:
                shown.popleft()

    def shown(self, world: World, written: Written) -> set[float]:
        """What the leader's clock may have shown when it decided."""
        name = written.leader.name if written.leader is not None else ""
        ahead_s = {ahead for _, ahead in self._ahead.get(name, ())} or {0.0}
        return {EPOCH_WALL_S + world.now_s + each for each in ahead_s}


def _begun(written: Written) -> Operation | None:
    """The operation that begins with this."""
    operation, known = written.after.operation, written.before.operation
    return operation if operation is not None and (known is None or known.id != operation.id) else None


@dataclass
class Planned:
    """A switchover for later begins at its time by the leader's clock, not long after it, once, and not after
    it was withdrawn."""

    truth: Truth
    rule: str = "planned"
    _clocks: _Clocks = field(default_factory=_Clocks)
    _begun: set[str] = field(default_factory=set)

    def look(self, world: World, news: News) -> Sequence[str]:
        self._clocks.look(world)
        return [sentence for commit in news.commits for sentence in self._judge(world, commit)]

    def _judge(self, world: World, commit: Written) -> list[str]:
        operation = _begun(commit)
        request = world.asked.get(operation.request or "") if operation is not None else None
        if request is None:
            return []
        found = []
        name = f"{request.kind} {request.id}"
        if request.id in self._begun and world.memory_from_s < 0.0:
            found.append(f"{name} is begun a second time")
        self._begun.add(request.id)
        if request.id in _withdrawn(world, commit):
            found.append(f"{name} is begun, and was withdrawn")
        if request.due_wall_s is not None:
            shown = self._clocks.shown(world, commit)
            if all(at_s < request.due_wall_s - SLACK_S for at_s in shown):
                found.append(f"{name} is begun {request.due_wall_s - max(shown):.0f} s before its time")
            if all(at_s > request.due_wall_s + LATE_S + OLD_S for at_s in shown):
                found.append(f"{name} is begun {min(shown) - request.due_wall_s:.0f} s after its time")
        return found


def _withdrawn(world: World, commit: Written) -> set[str]:
    """By words that were taken up before this."""
    taken_up = {answer.request for answer in commit.before.answers if answer.accepted}
    return {each.cancels for each in world.asked.values() if each.cancels and each.id in taken_up}


@dataclass
class GoesBack:
    """What nobody has asked for goes back only as the policy has it: to the node of the highest priority,
    after a failover that nobody asked for, in its window, once, and not soon after anybody has failed."""

    truth: Truth
    rule: str = "failback"
    _clocks: _Clocks = field(default_factory=_Clocks)
    _tried_s: float = float("-inf")
    _failed_s: float = float("-inf")
    _broke_s: dict[str, float] = field(default_factory=dict)
    _moved: tuple[str, bool] = ("", False)

    def look(self, world: World, news: News) -> Sequence[str]:
        self._clocks.look(world)
        for (name, endpoint), _ in world.policy.pairs.items():
            if self.truth.broken_for_s(name, endpoint) > OLD_S + SLACK_S:
                self._broke_s[name] = world.now_s
        found = []
        for commit in news.commits:
            operation = _begun(commit)
            by_itself = operation is not None and operation.request is None
            if operation is not None and by_itself and operation.kind is Kind.SWITCHOVER:
                found += self._judge(world, commit, operation)
                self._tried_s = world.now_s
            self._note(world, commit)
        return found

    def _note(self, world: World, commit: Written) -> None:
        operation = commit.after.operation
        if operation is None or operation.kind not in (Kind.FAILOVER, Kind.SWITCHOVER):
            return
        if operation.kind is Kind.FAILOVER:
            self._failed_s = world.now_s
        for record in commit.after.phases:
            before = commit.before.phase_of(record.node, record.endpoint)
            came = before is None or before.phase is not Phase.IN_SERVICE
            if record.phase is Phase.IN_SERVICE and came and record.node != operation.node:
                by_itself = operation.kind is Kind.FAILOVER and operation.cause is not Cause.OPERATOR
                self._moved = record.node, by_itself and bool(operation.node)

    def _judge(self, world: World, commit: Written, operation: Operation) -> list[str]:
        policy, rules, to = world.policy, world.policy.rules, operation.to
        nodes = policy.node_by_name
        found = []
        if rules.failback not in (Failback.AUTO, Failback.WINDOW) or policy.automation is not Automation.ACT:
            found.append(f"{to} is gone back to, and that is left to a person")
        if nodes[to].priority < max(node.priority for node in policy.nodes):
            found.append(f"{to} is gone back to, and another is preferred")
        if nodes[operation.node].priority >= nodes[to].priority:
            found.append(f"{operation.node} is left, and is preferred as well")
        window = rules.failback_window
        held = window is not None and any(map(window.holds, self._clocks.shown(world, commit)))
        if rules.failback is Failback.WINDOW and not held:
            found.append(f"{to} is gone back to outside the window")
        if world.memory_from_s >= 0.0:
            return found  # what the store knew of earlier is gone
        if self._moved != (operation.node, True):
            found.append(f"{operation.node} is left, and no failover of its own made it serve")
        if world.now_s - self._tried_s < DAY_S - 2 * 3600.0:  # clocks jump by an hour
            found.append(f"{to} is gone back to {world.now_s - self._tried_s:.0f} s after the last time")
        ago_s = world.now_s - max(self._failed_s, self._broke_s.get(to, float("-inf")))
        if ago_s < rules.failback_after_s - SLACK_S:
            found.append(f"{to} is gone back to {ago_s:.0f} s after a failure")
        return found
