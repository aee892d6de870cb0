"""One checker for each rule that never bends, on what is true in the world.

Each looks whenever something has changed and returns sentences; none means that the rule held. What is wrong
and breaks no rule is returned as an excuse, with its reason. What a controller believes is never asked:
recorded state only where the rule is about what is recorded, reports only where it is about what could be
known. I15 is kept by the mail servers, and is shown in the lab.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from mailward.model.policy import Deployment, Policy
from mailward.simulator.checkers.addresses import NeverEmpty, OnlyListed, OnlyServing
from mailward.simulator.checkers.excuses import Excuse
from mailward.simulator.checkers.leases import GoesOn
from mailward.simulator.checkers.mail import Bounded, NothingLost
from mailward.simulator.checkers.operations import Explained, NoErrors, Operations
from mailward.simulator.checkers.orders import Commits, LeftAlone, StaysAsItIs, TokensRise
from mailward.simulator.checkers.outages import NamedAreOpen, NotKeptShut
from mailward.simulator.checkers.planned import GoesBack, Planned
from mailward.simulator.checkers.promotions import (
    NotTooMuchLost,
    OneOpen,
    OnlyDemoted,
    OnlyPromoted,
    Takeovers,
)
from mailward.simulator.checkers.readmissions import HoldDown, Readmissions, WayBack
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.checkers.withdrawals import ClosedLast, SomebodyOpen, Withdrawals
from mailward.simulator.world import World


class Checker(Protocol):
    """`rule` stands before each sentence; '' where every sentence begins with its own."""

    rule: str

    def look(self, world: World, news: News) -> Sequence[str | Excuse]: ...


_ALL: tuple[Callable[[Truth], Checker], ...] = (
    TokensRise, Commits, NeverEmpty, OnlyServing, OnlyListed, Withdrawals, SomebodyOpen, ClosedLast,
    Operations, Explained, StaysAsItIs, Readmissions, WayBack, HoldDown, LeftAlone, NamedAreOpen, NothingLost,
    Bounded, NoErrors,
)  # fmt: skip
_OF_A_CLUSTER: tuple[Callable[[Truth], Checker], ...] = (
    TokensRise, Commits, NeverEmpty, OnlyServing, OnlyListed, OneOpen, OnlyPromoted, OnlyDemoted,
    NotTooMuchLost, Takeovers, NotKeptShut, GoesOn, Planned, GoesBack, Operations, Explained, StaysAsItIs,
    LeftAlone, NothingLost, Bounded, NoErrors,
)  # fmt: skip
"""Where one serves, ports are closed before DNS follows, and who comes back stands by."""


class Checkers:
    """All of a deployment, new for each run, over one memory of the truth. `excuses` counts by reason."""

    def __init__(self, policy: Policy) -> None:
        self.excuses: Counter[str] = Counter()
        self._truth = Truth()
        kinds = _OF_A_CLUSTER if policy.deployment is Deployment.CLUSTER else _ALL
        self._all = tuple(kind(self._truth) for kind in kinds)
        self._commits = 0
        self._obeyed: dict[str, int] = {}

    def look(self, world: World) -> list[str]:
        """What each objects to, with its rule."""
        self._truth.look(world)
        news = self._news(world)
        found = []
        for checker in self._all:
            for said in checker.look(world, news):
                if isinstance(said, Excuse):
                    self.excuses[said.why] += 1
                else:
                    found.append(f"{checker.rule}: {said}" if checker.rule else said)
        return found

    def _news(self, world: World) -> News:
        logs = {name: receiver.log for name, receiver in world.obeying.items()}
        news = News(
            world.commits[self._commits :],
            {name: log[self._obeyed.get(name, 0) :] for name, log in logs.items()},
        )
        self._commits, self._obeyed = len(world.commits), {name: len(log) for name, log in logs.items()}
        return news
