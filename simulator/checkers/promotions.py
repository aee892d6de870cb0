"""I4, I5 and I8 of a cluster: who is opened, with what mail, and whom automation stops for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.policy import Automation, Loss
from mailward.model.state import Accepted, Cause, Kind, Operation, Phase, Step
from mailward.simulator.checkers.excuses import BOOTED_OPEN, Excuse
from mailward.simulator.checkers.truth import OLD_S, News, Truth
from mailward.simulator.nodes import MailNode
from mailward.simulator.store import Written
from mailward.simulator.world import World

LOOK_S = 1.5
_ANYTHING_S = 0.001
"""More than nothing: one message is."""


@dataclass
class OneOpen:
    """I4: at no instant more than one node has open ports and power, whether it stands still or not. Where a
    lease ends by the clock of a machine that stood still as a whole, the run has left the fault model. A
    person may order what automation would not, while a helper has never obeyed: its node boots open."""

    truth: Truth
    rule: str = "I4"

    def look(self, world: World, _news: News) -> Sequence[str | Excuse]:
        opened = [name for name, node in world.nodes.items() if node.opens]
        if len(opened) < 2:
            return []
        helpers = [world.nodes[name].helper for name in opened]
        if any(helper.overdue for helper in helpers):
            world.outside("a machine stood still, its kernel's clock as well, and a lease outlasted its time")
        if any(helper.token is None for helper in helpers) and _a_person_moved_it(world):
            return [BOOTED_OPEN]
        return [f"{' and '.join(opened)} are open at once"]


def _a_person_moved_it(world: World) -> bool:
    """By a failover or a switchover, lately."""
    running = [world.state.operation] if world.state.operation is not None else []
    operations = [*(entry.operation for entry in world.state.ended), *running]
    moves = (Kind.FAILOVER, Kind.SWITCHOVER)
    return any(each.cause is Cause.OPERATOR and each.kind in moves for each in operations)


@dataclass
class OnlyPromoted:
    """I4: whoever has open ports has been promoted, and that verified, since it was to be demoted last."""

    truth: Truth
    rule: str = "I4"

    def look(self, world: World, _news: News) -> Sequence[str]:
        opened = [name for name, node in world.nodes.items() if node.opens and node.hooks.demoted]
        return [f"{name} is open, and not promoted since it was to be demoted" for name in opened]


@dataclass
class OnlyDemoted:
    """I4: who comes back to stand by was to be demoted since it has served."""

    truth: Truth
    rule: str = "I4"

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            for record in commit.after.phases:
                before = commit.before.phase_of(record.node, record.endpoint)
                came = before is not None and before.phase is Phase.REJOINING
                stands_by = record.phase is Phase.STANDBY
                if came and stands_by and not world.nodes[record.node].hooks.demoted:
                    found.append(f"{record.node} stands by, and was not demoted since it served")
        return list(dict.fromkeys(found))


@dataclass
class NotTooMuchLost:
    """I5: who is promoted lacks no more of the mail of who served than the policy allows, or a person has
    accepted of just this one, as it truly is: from the first message that is missing until nothing more was
    accepted there."""

    truth: Truth
    rule: str = "I5"
    _accepted: tuple[Accepted | None, float] = (None, 0.0)
    _open_s: dict[str, float] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str]:
        self._open_s |= {name: world.now_s for name, node in world.nodes.items() if node.opens}
        found = []
        for commit in news.commits:
            operation = commit.after.operation
            if operation is not None and operation.accepts != self._accepted[0]:
                self._accepted = operation.accepts, world.now_s
            for record in commit.after.phases:
                before = commit.before.phase_of(record.node, record.endpoint)
                if operation is None or record.phase is not Phase.PROMOTING or before is None:
                    continue
                if before.phase is not Phase.PROMOTING:
                    found += self._promoted(world, operation, record.node)
        return list(dict.fromkeys(found))

    def _promoted(self, world: World, operation: Operation, name: str) -> list[str]:
        if operation.node in ("", name):
            return []
        source, target = world.nodes[operation.node], world.nodes[name]
        missing = [at_s for message, at_s in source.mailbox.items() if message not in target.mailbox]
        last_s = max(self._open_s.get(operation.node, world.now_s), *missing, float("-inf"))
        lost_s = max(last_s - min(missing), _ANYTHING_S) if missing else 0.0
        rules = world.policy.rules
        most_s = {Loss.LOSSLESS: 0.0, Loss.BALANCED: rules.max_lag_s}.get(rules.loss, float("inf"))
        accepts = operation.accepts
        if accepts is not None and accepts.node == name:
            said_s = float("inf") if accepts.seconds is None else accepts.seconds
            most_s = max(most_s, said_s + world.now_s - self._accepted[1] + LOOK_S)
        if lost_s <= most_s:
            return []
        return [f"{name} promoted without {len(missing)} messages of {source.name}, for {lost_s:.0f} s"]


@dataclass
class Takeovers:
    """I6, I7 and I8: automation moves service away from a node that enough observers could see broken for as
    long as a takeover waits, while another was known to be well; and not too often: only what got past its
    fence has stopped anybody. Who was stopped before, and nobody has taken over, needs no more to be seen,
    and may be gone on with at any time."""

    truth: Truth
    rule: str = ""
    _fenced: dict[str, float] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            operation, known = commit.after.operation, commit.before.operation
            if operation is None or operation.kind is not Kind.FAILOVER or operation.request is not None:
                continue
            if operation.step is not Step.FENCE:
                self._fenced.setdefault(operation.id, world.now_s)
            if (known is None or known.id != operation.id) and operation.node:
                found += self._begun(world, operation, commit)
        return found

    def _begun(self, world: World, operation: Operation, commit: Written) -> list[str]:
        found, policy, name = [], world.policy, operation.node
        if policy.automation is not Automation.ACT and not _was_planned(commit):
            found.append(f"I8: {name} is failed over, and automation only observes")
        oldest_s = max(world.now_s - 3600.0 + LOOK_S, world.memory_from_s)
        self._fenced = {id: at_s for id, at_s in self._fenced.items() if at_s > oldest_s}
        serves = any(r.phase is Phase.IN_SERVICE for r in commit.before.phases if r.node == name)
        often = len(self._fenced) >= policy.rules.failovers_per_hour
        if serves and often and not _was_planned(commit):
            found.append(f"I8: one more after {len(self._fenced)} failovers within an hour")
        full = operation.cause is Cause.DISK
        for_s = 0.0 if full else max(0.0, policy.rules.takeover_after_s - LOOK_S)
        for_s = min(for_s, world.now_s - world.memory_from_s)  # who serves may have been said a moment ago
        endpoints = policy.endpoints_of(name)
        if serves and not any(self.truth.lost(world, name, endpoint.name, for_s) for endpoint in endpoints):
            found.append(f"I6: {name} is failed over, which not enough can have seen broken for {for_s:g} s")
        others = [node for other, node in world.nodes.items() if other != name]
        if serves and not any(self._may_be_well(world, node) for node in others):
            found.append(f"I8: {name} is failed over, and nobody else is well")
        if all(self.truth.answered_ago_s(node) > OLD_S for node in world.nodes):
            found.append(f"I7: {name} is failed over while nothing answered any observer")
        return found

    def _may_be_well(self, world: World, node: MailNode) -> bool:
        """Whether somebody may think so: behind closed ports it takes longer to see."""
        endpoints = world.policy.endpoints_of(node.name)
        return all(self.truth.broken_for_s(node.name, endpoint.name) <= OLD_S for endpoint in endpoints)


def _was_planned(commit: Written) -> bool:
    """A switchover whose source fails is gone on with as a failover."""
    before = commit.before.operation
    return before is not None and before.kind is Kind.SWITCHOVER
