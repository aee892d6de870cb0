"""Writing to a terminal: colour where a person looks on, plain text everywhere else."""

import os
import shutil
import sys

import typer

NARROWEST, WIDEST = 60, 120
CLEAR = "\x1b[H\x1b[2J\x1b[3J"

_PAINTED = (
    (r"(?m)^Automation: (HELD|PAUSED)\b", "bold red"),
    (r"(?m)^Automation: OBSERVING\b", "bold yellow"),
    (r"(?m)^Automation: ACTING\b", "bold green"),
    (r"\b(DOWN|FAILED|FAILS|REFUSED|OUT|HANDED OVER|NOT CLAIMED|NO ADDRESSES|DIFFERS|FORCED OPEN)\b", "red"),
    (r"\b(UNKNOWN|STALE|REJOINING|DRAINING|DEMOTING|PROMOTING)\b", "yellow"),
    (r"(?m)^  NO\b", "red"),
    (r"\b(UP|CONFIRMED|IN-SERVICE)\b", "green"),
    (
        r"\bmailward (failover|switchover|drain|readmit|vouch|fence|pause|resume|explain|status|run|config"
        r"|state|probe)\b",
        "bold",
    ),
)


def width() -> int:
    columns = shutil.get_terminal_size((80, 24)).columns
    return min(max(columns, NARROWEST), WIDEST)


def show(text: str, *, clear: bool = False) -> bool:
    """Write `text` to stdout, painted and on a clean screen only if that is a terminal; whether somebody
    reads it."""
    if not sys.stdout.isatty():
        return write(text)
    from rich.console import Console
    from rich.text import Text

    painted = Text(text)
    for pattern, style in _PAINTED:
        painted.highlight_regex(pattern, style)
    if clear:
        sys.stdout.write(CLEAR)
    Console(soft_wrap=True, highlight=False).print(painted, end="")
    return True


def write(text: str) -> bool:
    """Write `text` to stdout as it is; whether somebody reads it."""
    try:
        typer.echo(text, nl=False)
    except BrokenPipeError:
        nobody_reads()
        return False
    return True


def nobody_reads() -> None:
    """The reader of a pipe has gone: what is still written goes nowhere, and is no failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed_streams() -> None:
    """Standard streams that were closed from the start lead nowhere: else a socket would take their numbers,
    and get what is written."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def complain(text: str) -> None:
    """One sentence to stderr."""
    typer.echo(f"mailward: {text}", err=True)
