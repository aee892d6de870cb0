"""What a checker may find instead of an objection: something went wrong of which no rule promises that it
never will.

Each is counted by its reason, and told.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why no rule is broken, in one short sentence without its full stop."""

    why: str


CAME_LATE = Excuse("an old order came late to a receiver that cannot refuse it")
TAKEN_LATE = Excuse("the last serving node left a zone by an update that came after it was given up")
NAMED_LATE = Excuse(
    "a node that has closed by itself since was put into a zone by an update that came long after its time"
)
FAILED_UNSEEN = Excuse("the last serving node left a zone, and whoever is left in it had just failed unseen")
BOOTED_OPEN = Excuse("a node whose helper had never obeyed booted with open ports after a person's failover")
