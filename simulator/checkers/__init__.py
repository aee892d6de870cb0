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
from mailward.simulator.checkers.truth import Truth
from mailward.simulator.checkers.withdrawals import ClosedLast, SomebodyOpen, Withdrawals
from mailward.simulator.world import World


class Checker(Protocol):
    rule: str

    def look(self, world: World) -> Sequence[str]: ...


_ALL: tuple[Callable[[Truth], Checker], ...] = (
    TokensRise, Commits, NeverEmpty, OnlyServing, OnlyListed, Withdrawals, SomebodyOpen, ClosedLast,
    Operations, Explained, StaysAsItIs, Readmissions, WayBack, HoldDown, LeftAlone, NothingLost, Bounded,
    NoErrors,
)  # fmt: skip


_OF_NEWS = (TokensRise, Commits, Withdrawals, Operations, Readmissions, WayBack, HoldDown, LeftAlone)
"""Those which judge what is recorded or obeyed, and nothing else: they look when there is something new."""


class Checkers:
    """All of them, new for each run, over one memory of the truth."""

    def __init__(self) -> None:
        self._truth = Truth()
        self._all = tuple(kind(self._truth) for kind in _ALL)
        self._always = tuple(checker for checker in self._all if not isinstance(checker, _OF_NEWS))
        self._judged = (0, 0)

    def look(self, world: World) -> list[str]:
        """What each objects to, with its rule."""
        self._truth.look(world)
        there = (len(world.commits), sum([len(receiver.log) for receiver in world.obeying.values()]))
        look = self._always if there == self._judged else self._all
        self._judged = there
        return [f"{checker.rule}: {sentence}" for checker in look for sentence in checker.look(world)]

    @property
    def excused(self) -> int:
        return sum(getattr(checker, "excused", 0) for checker in self._all)
