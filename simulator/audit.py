"""What a run is held to, by chance or in a scenario: every checker looks, and what breaks a rule is kept
apart from what breaks none.

An objection is a violation. Once the run has left the fault model it is set aside instead: it is kept and
counted as well, and nobody is blamed. The same sentence said again is no news, and counts once.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from mailward.simulator.checkers import Checkers
from mailward.simulator.world import World

AFTER_LEAVING = "something was objected to after the run had left the fault model"
_ENDINGS_REMEMBERED = 100


class Audit:
    """Of one world. `violations` and `set_aside` are sentences with their moment, in seconds since `zero_s`;
    `on_objection` hears each without it. `operations` counts endings by kind."""

    def __init__(self, world: World, on_objection: Callable[[str], None] = lambda _sentence: None) -> None:
        self.violations: list[str] = []
        self.set_aside: list[str] = []
        self.operations: dict[str, int] = {}
        self.zero_s = 0.0
        self._world = world
        self._on_objection = on_objection
        self._checkers = Checkers(world.policy)
        self._said: set[str] = set()
        self._ended: list[str] = []

    @property
    def outside(self) -> tuple[str, ...]:
        """Why the run has left the fault model; nothing if it has not."""
        return tuple(self._world.reasons_outside)

    @property
    def excused_by_reason(self) -> Mapping[str, int]:
        """How often something went wrong for which no rule is broken: what checkers excuse, and what was set
        aside."""
        found = self._checkers.excuses + Counter({AFTER_LEAVING: len(self.set_aside)})
        return dict(sorted(found.items()))

    @property
    def excused(self) -> int:
        return sum(self.excused_by_reason.values())

    def look(self) -> None:
        for sentence in self._checkers.look(self._world):
            self.object(sentence)
        for each in self._world.state.ended:
            if each.operation.id not in self._ended:
                self._ended = [*self._ended[-_ENDINGS_REMEMBERED:], each.operation.id]
                key = f"{each.operation.kind.value} {each.ending.value}"
                self.operations[key] = self.operations.get(key, 0) + 1

    def object(self, sentence: str) -> None:
        if sentence in self._said:
            return
        self._said.add(sentence)
        kept = self.set_aside if self.outside else self.violations
        kept.append(f"{self._world.now_s - self.zero_s:.1f} s: {sentence}")
        self._on_objection(sentence)
