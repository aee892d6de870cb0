"""I4, I5 and I8 of a cluster: who is opened, with what mail, and whom automation stops for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.policy import Automation, Loss
from mailward.model.state import Cause, Kind, Operation, Phase
from mailward.simulator.checkers.truth import OLD_S, News, Truth
from mailward.simulator.nodes import MailNode
from mailward.simulator.store import Written
from mailward.simulator.world import World

LOOK_S = 1.5


@dataclass
class OneOpen:
    """I4: at no instant more than one node has open ports and power, whether it stands still or not. Where a
    lease ends by the clock of a machine that stood still as a whole, the run has left the fault model."""

    truth: Truth
    rule: str = "I4"

    def look(self, world: World, _news: News) -> Sequence[str]:
        opened = [name for name, node in world.nodes.items() if node.opens]
        if len(opened) > 1 and any(world.nodes[name].helper.overdue for name in opened):
            world.outside("a machine stood still, its kernel's clock as well, and a lease outlasted its time")
        return [f"{' and '.join(opened)} are open at once"] if len(opened) > 1 else []


@dataclass
class NotTooMuchLost:
    """I5: who is promoted without a person's force lacks no more of the mail of who served than the policy
    allows, as it truly is."""

    truth: Truth
    rule: str = "I5"

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            operation = commit.after.operation
            for record in commit.after.phases:
                before = commit.before.phase_of(record.node, record.endpoint)
                if operation is None or record.phase is not Phase.PROMOTING or before is None:
                    continue
                if before.phase is not Phase.PROMOTING and not operation.force:
                    found += self._promoted(world, operation, record.node)
        return list(dict.fromkeys(found))

    def _promoted(self, world: World, operation: Operation, name: str) -> list[str]:
        if operation.node in ("", name):
            return []
        source, target = world.nodes[operation.node], world.nodes[name]
        missing = [at_s for message, at_s in source.mailbox.items() if message not in target.mailbox]
        lost_s = world.now_s - min(missing) if missing else 0.0
        rules = world.policy.rules
        most_s = {Loss.LOSSLESS: 0.0, Loss.BALANCED: rules.max_lag_s}.get(rules.loss, float("inf"))
        if lost_s <= most_s:
            return []
        return [f"{name} promoted without {len(missing)} messages of {source.name}, for {lost_s:.0f} s"]


@dataclass
class Takeovers:
    """I6, I7 and I8: automation moves service away from a node that enough observers could see broken for as
    long as a takeover waits, while another was known to be well; and not too often."""

    truth: Truth
    rule: str = ""
    _began_s: list[float] = field(default_factory=list)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            operation, known = commit.after.operation, commit.before.operation
            if operation is None or operation.kind is not Kind.FAILOVER or operation.request is not None:
                continue
            if (known is None or known.id != operation.id) and operation.node:
                found += self._begun(world, operation, commit)
        return found

    def _begun(self, world: World, operation: Operation, commit: Written) -> list[str]:
        found, policy, name = [], world.policy, operation.node
        if policy.automation is not Automation.ACT and not _was_planned(commit):
            found.append(f"I8: {name} is failed over, and automation only observes")
        oldest_s = max(world.now_s - 3600.0 + LOOK_S, world.memory_from_s)
        self._began_s = [at_s for at_s in self._began_s if at_s > oldest_s]
        self._began_s.append(world.now_s)
        if len(self._began_s) > policy.rules.failovers_per_hour and not _was_planned(commit):
            found.append(f"I8: {len(self._began_s)} failovers within an hour")
        full = operation.cause is Cause.DISK
        for_s = 0.0 if full else max(0.0, policy.rules.takeover_after_s - LOOK_S)
        for_s = min(for_s, world.now_s - world.memory_from_s)  # who serves may have been said a moment ago
        endpoints = policy.endpoints_of(name)
        if not any(self.truth.lost(world, name, endpoint.name, for_s) for endpoint in endpoints):
            found.append(f"I6: {name} is failed over, which not enough can have seen broken for {for_s:g} s")
        others = [node for other, node in world.nodes.items() if other != name]
        if not any(self._may_be_well(world, node) for node in others):
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
