"""What users would feel: mail lost, and controllers that run wild."""

from collections.abc import Sequence
from dataclasses import dataclass

from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.world import World


@dataclass
class NothingLost:
    """No accepted message is lost: it is on every node, or on the disk of some."""

    truth: Truth
    rule: str = "mail"

    def look(self, world: World, _news: News) -> Sequence[str]:
        return self.now(world)

    @staticmethod
    def now(world: World) -> Sequence[str]:
        whole = {node.whole for node in world.nodes.values()}
        waiting = {message for node in world.nodes.values() for message in node.mailbox}
        if len(whole) == 1 and max(whole) + len(waiting) == world.accepted:
            return []
        return [f"{world.accepted} accepted, {sorted(whole)} on every node, {len(waiting)} on some"]


@dataclass
class Bounded:
    """So many orders are obeyed in an hour and no more."""

    truth: Truth
    most_per_hour: int = 1200
    rule: str = "bounded"

    def look(self, world: World, _news: News) -> Sequence[str]:
        since_s = world.now_s - 3600.0
        return [
            f"{name} obeyed {self.most_per_hour} orders within an hour"
            for name, receiver in world.obeying.items()
            if len(receiver.log) > self.most_per_hour and receiver.log[-self.most_per_hour].at_s > since_s
        ]
