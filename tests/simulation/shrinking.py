"""A run that breaks a rule, played again with fewer and fewer faults while it breaks the same one: a
transcript short enough to read, and to keep.

    # what was wrong, and of what
    without: what receivers remember
    cluster: two-sites
    seed: 1
    hours: 0.25
    at 36.000 s store-restored 123456 for 2.500 s

`without` names the guards which were missing, and were then made: with them no rule is broken.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.simulation.clusters import CLUSTERS

from mailward.simulator.run import Outcome, play, strikes_of
from mailward.simulator.swarm import Strike, kinds_for

MOST_PLAYS = 80
_LINE = re.compile(r"at ([\d.]+) s ([a-z-]+) (\d+) for ([\d.]+) s")


@dataclass(frozen=True)
class Story:
    """A run with just these faults, and `without` these guards."""

    cluster: str
    seed: int
    hours: float
    strikes: tuple[Strike, ...]
    without: tuple[str, ...] = ()

    def play(self) -> Outcome:
        """With every guard in its place."""
        return play(CLUSTERS[self.cluster](), self.seed, self.hours, strikes=self.strikes)

    def __str__(self) -> str:
        head = (f"cluster: {self.cluster}", f"seed: {self.seed}", f"hours: {self.hours:g}")
        missing = [f"without: {', '.join(self.without)}"] if self.without else []
        return "\n".join([*missing, *head, *map(str, self.strikes)])


def drawn_story(cluster: str, seed: int, hours: float) -> Story:
    return Story(cluster, seed, hours, strikes_of(seed, hours, among=kinds_for(CLUSTERS[cluster]())))


def story_of(text: str) -> Story:
    """What `str` of a story says; comments are left out. ValueError names a line that is none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    head = dict(line.split(": ", 1) for line in lines if ": " in line)
    strikes = []
    for line in (line for line in lines if ": " not in line):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"neither a fault nor a word of the head: {line!r}")
        strikes.append(Strike(float(match[1]), match[2], int(match[3]), float(match[4])))
    without = tuple(name for name in head.get("without", "").split(", ") if name)
    return Story(head["cluster"], int(head["seed"]), float(head["hours"]), tuple(strikes), without)


def shrunk(story: Story) -> tuple[Story, str]:
    """The shortest story found in `MOST_PLAYS` in which the same rule is broken, and what is broken in it."""
    rule = _rule(story)
    left, plays, size = story.strikes, 0, max(1, len(story.strikes) // 2)
    while size:
        at = 0
        while at < len(left) and plays < MOST_PLAYS:
            fewer = (*left[:at], *left[at + size :])
            plays += 1
            if _rule(_with(story, fewer)) == rule:
                left = fewer
            else:
                at += size
        size //= 2
    least = _with(story, left)
    return least, "; ".join(least.play().violations[:3])


def _with(story: Story, strikes: Sequence[Strike]) -> Story:
    return replace(story, strikes=tuple(strikes))


def _rule(story: Story) -> str:
    """Which rule is broken first, '' if none is: without the moment and the names."""
    violations = story.play().violations
    if not violations:
        return ""
    return violations[0].partition(" s: ")[2].partition(": ")[0]
