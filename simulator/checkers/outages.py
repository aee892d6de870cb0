"""I8 of a cluster: an outage of our own making ends."""

from collections.abc import Sequence
from dataclasses import dataclass

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


def _is_well(node: MailNode) -> bool:
    """But for what we have ordered of it."""
    works = all(work is Work.WELL for work in node.services.values())
    return works and not node.disk_full and node.hooks.work is HookWork.WELL


def _may_be_opened(world: World) -> bool:
    acts = world.policy.automation is Automation.ACT and not world.state.superseded
    return acts and world.ensemble.pause is None and world.ensemble.has_quorum
