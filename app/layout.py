"""Labels with text beside them, in a given width. Pure; words with hyphens and commands stay whole."""

import textwrap
from collections.abc import Sequence

LABEL = 11

Lines = list[str]


def field(label: str, text: str, width: int, indent: int = 2, column: int = LABEL) -> Lines:
    """A label with its text hanging beside it from `column` on, or right after a longer label."""
    head = f"{' ' * indent}{label}"
    head = f"{head:<{column}}" if len(head) < column else f"{head}  "
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=" " * column, break_on_hyphens=False
    ) or [head]


def block(label: str, told: Sequence[str], width: int, indent: int = 0) -> Lines:
    """Several texts under one label; nothing if there are none."""
    out: Lines = []
    for position, text in enumerate(told):
        out += field("" if position else label, text, width, indent)
    return out


def wrapped(text: str, width: int, hang: int = 0) -> Lines:
    return textwrap.wrap(text, width, subsequent_indent=" " * hang, break_on_hyphens=False) or [""]


def joined(lines: Lines) -> str:
    return "\n".join(line.rstrip() for line in lines) + "\n"
