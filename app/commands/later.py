"""The time of a request for later, as people type it: `02:30`, `2026-03-29 02:30`, with `Z` or `+01:00` after
it, `in 2h`.

A time without a zone is of the zone of whoever types it. What no clock shows there, since clocks go forward
over it, is refused, unless no day was given and that is past; what one shows twice is the first of both."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from mailward.app.commands.pausing import seconds

MAX_AHEAD_S = 31 * 86400.0
WANTED = "write 02:30 (the next one), 2026-03-29 02:30, either with Z or +01:00 after it, or 'in 2h'"
_TIME = re.compile(
    r"(?:(\d{4}-\d{2}-\d{2})[ T])?(\d{1,2}:\d{2})(?::(\d{2}))? ?(Z|UTC|[+-]\d{2}:?\d{2})?", re.IGNORECASE
)


def moment(text: str, now_unix_s: float, zone: tzinfo | None = None) -> float:
    """Seconds since the Unix epoch; `zone` None is this machine's. ValueError says what would be right."""
    text = text.strip()
    if text.lower().startswith("in "):
        return now_unix_s + seconds(text[3:], MAX_AHEAD_S)
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time; {WANTED}")
    day, clock, second, offset = match.groups()
    try:
        at = datetime.strptime(f"{clock}:{second or '00'}", "%H:%M:%S").time()
        given = datetime.strptime(day, "%Y-%m-%d").date() if day else None
        there = _offset(offset) if offset else zone
        now = datetime.fromtimestamp(now_unix_s, there).astimezone(there)
        first = datetime.combine(given or now.date(), at)
        if given is None and _is_past(first, there, now):
            first += timedelta(days=1)
        then = _at(first, there)
    except _NoSuchTime:
        raise
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no time that there is; {WANTED}") from None
    return then.timestamp()


class _NoSuchTime(ValueError):
    """Clocks go forward over it."""


def _is_past(naive: datetime, zone: tzinfo | None, now: datetime) -> bool:
    """By what a clock shows, where none shows it that day."""
    try:
        return _at(naive, zone).timestamp() <= now.timestamp()
    except _NoSuchTime:
        return naive <= now.replace(tzinfo=None)


def _at(naive: datetime, zone: tzinfo | None) -> datetime:
    then = naive.astimezone() if zone is None else naive.replace(tzinfo=zone)
    shown = then.astimezone(UTC).astimezone(zone)
    if shown.replace(tzinfo=None) != naive:
        raise _NoSuchTime(f"no clock shows {naive:%H:%M} on {naive:%Y-%m-%d}: they go forward over it")
    return then


def _offset(text: str) -> tzinfo:
    if text.upper() in ("Z", "UTC"):
        return UTC
    return datetime.strptime(text, "%z").tzinfo or UTC
