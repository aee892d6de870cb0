"""I12 and I13: who comes back, how, and how soon."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.controller.core.phases import may_follow
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, PhaseRecord, State
from mailward.simulator.checkers.truth import OLD_S, News, Truth, in_service, policy_of_the_leader
from mailward.simulator.store import Written
from mailward.simulator.world import World

LAG_SLACK_S = 15.0
"""A lag figure is as old as its poll, and grows while a readmission goes on."""
LOOK_S = 1.5


@dataclass
class Readmissions:
    """I12: by automation only who is well, has been for a while, obeys, and waits behind closed ports."""

    truth: Truth
    rule: str = "I12"

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            operation = begun(commit, Kind.READMIT)
            if operation is not None and not _undoes_a_drain(operation):
                found += self._begun(world, operation, commit.before)
        return found

    def _begun(self, world: World, operation: Operation, before: State) -> list[str]:
        found = []
        if world.policy.automation is not Automation.ACT:
            found.append(f"{operation.node} readmitted, and automation only observes")
        if self.truth.helper_well_ago_s(operation.node) > OLD_S:
            found.append(f"{operation.node} readmitted, and its helper does not answer")
        for name in operation.endpoints:
            found += self._judge(world, operation.node, world.policy.endpoint_by_name[name], before)
        return found

    def _judge(self, world: World, name: str, endpoint: Endpoint, before: State) -> list[str]:
        found = []
        rules, node = policy_of_the_leader(world).rules, world.nodes[name]
        if self.truth.said_down(world, name, endpoint) or (
            self.truth.broken_for_s(name, endpoint.name) > OLD_S
        ):
            found.append(f"{name} readmitted to {endpoint.name}, and is known to be broken")
        well_s = self.truth.mended_ago_s(name, endpoint.name)
        broken = self.truth.broken_for_s(name, endpoint.name) > 0
        if not broken and well_s < rules.stable_s - LOOK_S:
            found.append(f"{name} readmitted to {endpoint.name}, well for {well_s:.0f} s only")
        alone = rules.last_resort and not others_serve(before, name, endpoint)
        open_ = [
            s for s in endpoint.services if node.helper.opens(s) and not _needed(world, name, s, endpoint)
        ]
        gone = [n for n in endpoint.nodes if n != name and self.truth.saw_broken(world, n, endpoint.name)]
        if open_ and not alone and not gone:
            found.append(f"{name} readmitted to {endpoint.name} with {', '.join(open_)} open")
        return found


def begun(commit: Written, kind: Kind) -> Operation | None:
    """The operation that automation begins with this commit."""
    operation, known = commit.after.operation, commit.before.operation
    if operation is None or operation.kind is not kind or operation.request is not None:
        return None
    return operation if known is None or known.id != operation.id else None


def _undoes_a_drain(operation: Operation) -> bool:
    return operation.cause is Cause.OPERATOR


def _needed(world: World, node: str, service: str, endpoint: Endpoint) -> bool:
    """Whether another endpoint, in service here, needs the port open."""
    return any(
        service in other.services and other is not endpoint for other in world.policy.endpoints_of(node)
    )


def others_serve(state: State, node: str, endpoint: Endpoint) -> bool:
    return any(in_service(state, name, endpoint) for name in endpoint.nodes if name != node)


@dataclass
class WayBack:
    """I12: through `rejoining` only, and caught up, unless forced or nobody else serves."""

    truth: Truth
    rule: str = "I12"

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            for record in commit.after.phases:
                old = commit.before.phase_of(record.node, record.endpoint)
                if not may_follow(old.phase if old else None, record.phase):
                    found.append(f"{record.node} went from {old and old.phase} to {record.phase}")
                if old is not None and old.phase is Phase.REJOINING and record.phase is Phase.PROMOTING:
                    found += self._caught_up(world, record, commit.after)
        return found

    def _caught_up(self, world: World, record: PhaseRecord, after: State) -> list[str]:
        operation, node = after.operation, world.nodes[record.node]
        if operation is None or operation.force:
            return []
        found = []
        endpoint = world.policy.endpoint_by_name[record.endpoint]
        for name in endpoint.nodes:
            other = world.nodes[name]
            if (
                other is node
                or not in_service(after, name, endpoint)
                or self.truth.lost(world, name, record.endpoint)
            ):
                continue
            for source, target in ((node, other), (other, node)):
                lag_s, messages = world.replication.lag(source, target)
                if lag_s > world.policy.rules.caught_up_lag_s + LAG_SLACK_S:
                    missing = f"{messages} messages of {source.name} missing for {lag_s:.0f} s"
                    found.append(f"{node.name} let in with {missing}")
        return found


@dataclass
class HoldDown:
    """I13: who has left for one cause several times waits longer each time, from the end of the operation;
    unless nobody else serves."""

    truth: Truth
    rule: str = "I13"
    _left_s: dict[tuple[str, Cause], list[float]] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            known = [ended.operation.id for ended in commit.before.ended]
            for ended in commit.after.ended:
                if ended.operation.id not in known:
                    self._count(world, ended.operation, ended.ending)
            operation = begun(commit, Kind.READMIT)
            if operation is not None and not _undoes_a_drain(operation):
                found += self._judge(world, operation, commit.before)
        return found

    def _count(self, world: World, operation: Operation, ending: Ending) -> None:
        back = operation.kind is Kind.READMIT and ending is Ending.ROLLED_BACK
        if operation.cause is Cause.OPERATOR or not (operation.kind is Kind.FAILOVER or back):
            return
        if back and operation.step.value == "catch-up":
            return
        self._left_s.setdefault((operation.node, operation.cause), []).append(world.now_s)

    def _judge(self, world: World, operation: Operation, before: State) -> list[str]:
        rules = policy_of_the_leader(world).rules
        left = self._left_s.get((operation.node, operation.cause), [])
        oldest_s = max(world.now_s - rules.flap_memory_s, world.memory_from_s)
        left = [at_s for at_s in left if at_s > oldest_s]
        endpoints = [world.policy.endpoint_by_name[name] for name in operation.endpoints]
        others = [n for e in endpoints for n in e.nodes if n != operation.node]
        alone = any(not others_serve(before, operation.node, endpoint) for endpoint in endpoints)
        gone = any(self.truth.saw_broken(world, n, e.name) for e in endpoints for n in others)
        if len(left) < 2 or alone or gone:
            return []
        needed_s = min(rules.hold_down_s * 2.0 ** (len(left) - 2), rules.hold_down_max_s)
        age_s = world.now_s - left[-1]
        if age_s >= needed_s - LOOK_S:
            return []
        times = f"{len(left)} times for {operation.cause}"
        return [f"{operation.node} let in {age_s:.0f} s after it had left, {times}: {needed_s:.0f} s needed"]
