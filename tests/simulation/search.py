"""Breadth-first search: every world that can be reached, the shortest way to the first that is wrong, and
from every one of them the way home once nothing goes wrong any more."""

import sys
import time
from dataclasses import dataclass

from tests.simulation.observed import UP
from tests.simulation.searched import LONG, SHORT, Model, Move
from tests.simulation.worlds import Budget, World

LONG_WAITS, MOST_MOVES = 3, 300
"""How often all patience may run out on the way home, and how long that way may be."""


@dataclass(frozen=True)
class Found:
    """`wrong` is empty when every world is right; `transcript` is the way to the first that is not. A
    decision that an earlier search has made already is not counted again."""

    worlds: int
    depth: int
    decisions: int
    seconds: float
    wrong: str = ""
    transcript: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f"{self.worlds} worlds, {self.depth} deep, {self.decisions} decisions, {self.seconds:.1f} s"
        if not self.wrong:
            return size
        return "\n".join((f"{self.wrong} ({size})", *self.transcript))


class Search:
    """`most` worlds at most: a bound that is met is an error, not a result. `seconds` are of one core."""

    def __init__(self, model: Model, *, most: int = 2_000_000) -> None:
        self.model = model
        self._most = most
        self._home: set[World] = set()
        self._parents: dict[World, World | None] = {}

    def run(self, budget: Budget) -> Found:
        began, decided = time.process_time(), self.model.controller.decisions
        first = self._settle(self.model.start())._replace(budget=budget)
        self._parents = {first: None}
        level, depth, wrong, at = [first], 0, "", first
        while level and not wrong:
            following: list[World] = []
            for world in level:
                wrong, at = self._judge(world), world
                if wrong:
                    break
                for _, after in self.model.moves(world):
                    if after not in self._parents:
                        self._parents[after] = world
                        following.append(after)
            if len(self._parents) > self._most:
                raise AssertionError(f"more than {self._most} worlds within {depth} moves")
            if not wrong:
                level, depth = following, depth + bool(following)
        took = time.process_time() - began
        transcript = self._transcript(at) if wrong else ()
        decisions = self.model.controller.decisions - decided
        return Found(len(self._parents), depth, decisions, took, wrong, transcript)

    def follow(self, budget: Budget, *script: str) -> World:
        """One way only: the first move whose words begin with each line."""
        world = self._settle(self.model.start())._replace(budget=budget)
        for line in script:
            world = next(after for words, after in self.model.moves(world) if words.startswith(line))
        return world

    def _judge(self, world: World) -> str:
        broken = self.model.wrong(world)
        if broken:
            return "; ".join(broken)
        return self._way_home(world, heals=True) or self._way_home(world, heals=False)

    def _settle(self, world: World) -> World:
        while not self.model.settled(world):
            _, world = self._calm(world)
        return world

    def _way_home(self, world: World, *, heals: bool) -> str:
        """Liveness: '' when the cluster settles with nothing going wrong any more, whether what is broken
        by then heals or stays as it is."""
        here = world._replace(budget=Budget(), truth=(UP, UP) if heals else world.truth)
        way: dict[World, None] = {}
        turn: set[World] = set()
        waits, patient = 0, True
        while here not in self._home and not self.model.settled(here):
            if here in turn and patient:
                patient = False
            if waits > LONG_WAITS or len(way) > MOST_MOVES:
                return "; ".join(self.model.wrong(here)) or (
                    f"liveness: {self.model.told(here)}; it stays like this"
                )
            way[here] = None
            turn.add(here)
            words, here = self._calm(here, patient)
            if words == LONG:
                waits, patient, turn = waits + 1, True, set()
        self._home.update([*way, here])
        return ""

    def _calm(self, world: World, patient: bool = True) -> Move:
        """What follows when nothing goes wrong: orders arrive in turn, observers see, the controller
        decides, and when all that is done, time passes, patiently by little and little."""
        heals = "is well again"
        for words, after in self.model.moves(world):
            if after.budget == world.budget and not words.endswith(heals) and (patient or words != SHORT):
                return words, after
        return LONG, world

    def _transcript(self, world: World) -> tuple[str, ...]:
        lines: list[str] = []
        here: World | None = world
        while here is not None:
            parent = self._parents[here]
            if parent is not None:
                lines.append(next(words for words, after in self.model.moves(parent) if after == here))
            here = parent
        return tuple(f"{i:3} {line}" for i, line in enumerate(reversed(lines), 1))


def main(bounds: list[str]) -> int:
    """`bounds`: faults, losses, kills, requests."""
    found = Search(Model(), most=20_000_000).run(Budget(*map(int, bounds)))
    print(found)
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
