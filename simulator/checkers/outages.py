"""I8: an outage of our own making ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.policy import Automation
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.hooks import HookWork
from mailward.simulator.nodes import MailNode, Work
from mailward.simulator.world import World

PATIENCE_S = 120.0
"""A takeover waits, its fence, its rescue and each of its steps have their deadlines."""


@dataclass
class NotKeptShut:
    """I8: who was open last, and is well, is not kept shut by nothing but our own orders while nobody else
    serves: all else is calm, so whoever leads can find out all that it takes to open it again."""

    truth: Truth
    rule: str = "I8"
    _last: str = ""
    _since_s: float = 0.0

    def look(self, world: World, _news: News) -> Sequence[str]:
        opened = [name for name, node in world.nodes.items() if node.opens]
        if opened:
            self._last = opened[0]
        if opened or not self._last or not _is_well(world.nodes[self._last]) or not _may_be_opened(world):
            self._since_s = world.now_s
        shut_s = min(self.truth.calm.for_s(world.now_s), world.now_s - self._since_s)
        if shut_s <= PATIENCE_S:
            return []
        self._since_s = world.now_s
        return [f"nobody is open, and {self._last}, the last that was, is well and shut for {shut_s:.0f} s"]


@dataclass
class NamedAreOpen:
    """I8 of a hybrid: of those whom a name server names, where all are well, not all are kept shut by nothing
    but our own orders. All else is calm, as above, and the server takes what it is told."""

    truth: Truth
    rule: str = "I8"
    _since_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, world: World, _news: News) -> Sequence[str]:
        found = []
        for endpoint in world.policy.endpoints:
            for target in endpoint.targets:
                key, named = (target, endpoint.name), world.published(target, endpoint.name)
                nodes = [world.nodes[name] for name in named]
                shut = all(
                    _is_well(each) and not any(map(each.helper.opens, endpoint.services)) for each in nodes
                )
                if not (nodes and shut and _may_be_opened(world)):
                    self._since_s[key] = world.now_s
                calm_s = min(self.truth.calm.for_s(world.now_s), self.truth.zone_well_for_s(target))
                shut_s = min(calm_s, world.now_s - self._since_s.get(key, world.now_s))
                if shut_s > PATIENCE_S:
                    self._since_s[key] = world.now_s
                    told = f"{', '.join(named)}, whom {target} names, well and shut for {shut_s:.0f} s"
                    found.append(f"nobody of {endpoint.name} is open: {told}")
        return found


def _is_well(node: MailNode) -> bool:
    """But for what we have ordered of it."""
    works = all(work is Work.WELL for work in node.services.values())
    return works and not node.disk_full and node.hooks.work is HookWork.WELL


def _may_be_opened(world: World) -> bool:
    acts = world.policy.automation is Automation.ACT and not world.state.superseded
    return acts and world.ensemble.pause is None and world.ensemble.has_quorum
