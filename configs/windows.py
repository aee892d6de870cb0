"""A time of each day, as `02:00-04:00 Europe/Berlin`; without a zone it is UTC's.

The core knows no time zones: it is given when clocks there are set, for the years to come."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from mailward.configs.values import shown, wrong
from mailward.model.policy import Window

_WINDOW = re.compile(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})(?: +([A-Za-z][A-Za-z0-9_+/-]{0,63}))?")
_WANTED = "write it as 02:00-04:00 Europe/Berlin; without a zone it is UTC's"
_FIRST, _LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)


def window_text(value: object) -> str:
    """As it stands in the file, if it is one."""
    if not isinstance(value, str):
        raise wrong(f"a time of each day is wanted here: {_WANTED}")
    window_of(value)
    return value


def window_of(text: str) -> Window:
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise wrong(f"{shown(text)} is no time of each day: {_WANTED}")
    from_s, until_s = _seconds(match[1], match[2]), _seconds(match[3], match[4])
    if from_s is None or until_s is None:
        raise wrong(f"{shown(text)}: a day has the times from 00:00 to 23:59, and ends at 24:00")
    if from_s % 86400.0 == until_s % 86400.0:
        raise wrong(f"{shown(text)} ends when it begins: for all day write failback: auto")
    return Window(text.strip(), from_s, until_s % 86400.0, _offsets(match[5] or "UTC"))


def _seconds(hours: str, minutes: str) -> float | None:
    found = int(hours) * 3600.0 + int(minutes) * 60.0
    return found if int(minutes) < 60 and found <= 86400.0 else None


@lru_cache(maxsize=8)
def _offsets(name: str) -> tuple[tuple[float, float], ...]:
    """Since when clocks of that zone are how many seconds ahead of UTC."""
    if name == "UTC":
        return ((0.0, 0.0),)
    try:
        zone = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise wrong(
            f"no time zone is named {shown(name)} here: write one as Europe/Berlin, or UTC"
            " (a host without any needs the package tzdata)"
        ) from None
    found = [(0.0, _ahead_s(zone, _FIRST))]
    day, at = timedelta(days=1), _FIRST
    while at < _LAST:
        if _ahead_s(zone, at + day) != found[-1][1]:
            found.append(_set_between(zone, at, at + day))
        at += day
    return tuple(found)


def _set_between(zone: ZoneInfo, low: datetime, high: datetime) -> tuple[float, float]:
    """The second at which clocks are set."""
    before, after = _ahead_s(zone, low), _ahead_s(zone, high)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=1) // 2)
        low, high = (middle, high) if _ahead_s(zone, middle) == before else (low, middle)
    return high.timestamp(), after


def _ahead_s(zone: ZoneInfo, at: datetime) -> float:
    offset = at.astimezone(zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
