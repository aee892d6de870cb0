"""One checker for each rule that never bends, on what is true in the world.

Each looks whenever something has changed and returns sentences; none means that the rule held. What a
controller believes is never asked: recorded state only where the rule is about what is recorded, reports
only where it is about what could be known. I4 and I5 concern promotions, and arrive with them; I15 is kept
by the mail servers, and is shown in the lab.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mailward.simulator.checkers.addresses import NeverEmpty, OnlyListed, OnlyServing
from mailward.simulator.checkers.mail import Bounded, NothingLost
from mailward.simulator.checkers.operations import Explained, NoErrors, Operations
from mailward.simulator.checkers.orders import Commits, LeftAlone, StaysAsItIs, TokensRise
from mailward.simulator.checkers.readmissions import HoldDown, Readmissions, WayBack
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.checkers.withdrawals import ClosedLast, SomebodyOpen, Withdrawals
from mailward.simulator.world import World


class Checker(Protocol):
    """`rule` stands before each sentence; '' where every sentence begins with its own."""

    rule: str

    def look(self, world: World, news: News) -> Sequence[str]: ...


_ALL: tuple[Callable[[Truth], Checker], ...] = (
    TokensRise, Commits, NeverEmpty, OnlyServing, OnlyListed, Withdrawals, SomebodyOpen, ClosedLast,
    Operations, Explained, StaysAsItIs, Readmissions, WayBack, HoldDown, LeftAlone, NothingLost, Bounded,
    NoErrors,
)  # fmt: skip


class Checkers:
    """All of them, new for each run, over one memory of the truth."""

    def __init__(self) -> None:
        self._truth = Truth()
        self._all = tuple(kind(self._truth) for kind in _ALL)
        self._commits = 0
        self._obeyed: dict[str, int] = {}

    def look(self, world: World) -> list[str]:
        """What each objects to, with its rule."""
        self._truth.look(world)
        news = self._news(world)
        found = [(checker.rule, said) for checker in self._all for said in checker.look(world, news)]
        return [f"{rule}: {said}" if rule else said for rule, said in found]

    def _news(self, world: World) -> News:
        logs = {name: receiver.log for name, receiver in world.obeying.items()}
        news = News(
            world.commits[self._commits :],
            {name: log[self._obeyed.get(name, 0) :] for name, log in logs.items()},
        )
        self._commits, self._obeyed = len(world.commits), {name: len(log) for name, log in logs.items()}
        return news

    @property
    def excused(self) -> int:
        return sum(getattr(checker, "excused", 0) for checker in self._all)
