"""How values read to people: durations, clock times, counts, and text that others wrote.

Pure. Text from mail servers, requests and files is made printable and cut before it reaches a
terminal or a log: an escape sequence in a banner must not move anybody's cursor.
"""

import unicodedata
from datetime import datetime, tzinfo

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


WHOLE = 600
"""The limit of a sentence that ends with what to type."""


def printable(text: str, limit: int = 200) -> str:
    """`text` on one line without control or invisible characters, at most `limit` long."""
    head = text[: limit * 4]
    shown = "".join(" " if unicodedata.category(char) in _HIDDEN else char for char in head)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def duration(seconds: float) -> str:
    """Seconds as people say them, in at most two units: '0.4 s', '12 s', '3 min 5 s', '2 h', '4 d 3 h'."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "d", 3600, "h")


def _two(whole: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = whole % big // small
    return f"{whole // big} {big_unit}" + (f" {rest} {small_unit}" if rest else "")


def clock_time(wall_s: float, zone: tzinfo | None, now_wall_s: float) -> str:
    """A wall-clock time in `zone` (None: the machine's), with the date if it is not today's."""
    try:
        then = datetime.fromtimestamp(wall_s, zone).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return "a time that no clock shows"
    today = datetime.fromtimestamp(now_wall_s, zone).astimezone(zone).date()
    day = "" if then.date() == today else then.strftime("%Y-%m-%d ")
    return f"{day}{then:%H:%M} {then.tzname() or ''}".rstrip()


def listed(words: list[str] | tuple[str, ...]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
