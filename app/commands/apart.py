"""What a simulated run is not blamed for, on the screen: why it left the fault model, and what is excused.

Nothing is said of a run that has stayed inside and needs no excuse.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

MOST_SENTENCES = 10
"""Of those set aside; the object for programs has them all."""


def apart(
    outside: Sequence[str], excused_by_reason: Mapping[str, int], set_aside: Sequence[str], width: int
) -> Iterator[str]:
    """The lines, none wider than `width`; the arguments as in `simulator.run.Outcome`."""
    for reason in outside:
        yield from _wrapped(f"OUTSIDE THE FAULT MODEL: {reason}.", width)
    for why, count in excused_by_reason.items():
        yield from _wrapped(f"Excused {'once' if count == 1 else f'{count} times'}: {why}.", width)
    for sentence in set_aside[:MOST_SENTENCES]:
        yield from _wrapped(f"Excused at {sentence}", width)
    if len(set_aside) > MOST_SENTENCES:
        yield f"and {len(set_aside) - MOST_SENTENCES} more like these: --json has them all"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
