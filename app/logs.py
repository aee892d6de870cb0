"""Logging for people and for machines: one line an event, to stderr, `key=value` or JSON.

Secrets are kept out by construction: a field is written only if it is of a plain kind (text, number,
truth, an enum, a path, a token, a moment); of anything else, such as a configuration object, only the
type's name appears, and a traceback names places, never the values at hand. Text is made printable and
cut, so that nobody can write lines of their own into the log. Under systemd each line begins with its
priority. Libraries speak from WARNING on.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from enum import Enum, StrEnum
from pathlib import PurePath
from typing import Any, TextIO

from mailward.app.wording import printable
from mailward.model.clock import Moment
from mailward.model.token import Token

LINE_LENGTH = 1000
TRACE_LENGTH = 6000
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Format(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def set_up(form: Format = Format.AUTO, *, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (stderr). AUTO is text; under systemd with priorities."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonLines() if form is Format.JSON else KeyValues(priorities=_in_journal(target)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mailward").setLevel(logging.DEBUG if verbose else logging.INFO)
    # It tells of each try to connect; our own loggers say once why there is no connection.
    logging.getLogger("kazoo").setLevel(logging.WARNING if verbose else logging.ERROR)
    logging.raiseExceptions = False


def _in_journal(stream: TextIO) -> bool:
    """Whether `stream` is the journal's, by the device and inode systemd names."""
    try:
        told = os.environ.get("JOURNAL_STREAM", "").partition(":")
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (told[0], told[2]) == (str(found.st_dev), str(found.st_ino))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave beside the message, made harmless."""
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {printable(key, 40): _harmless(value) for key, value in sorted(given.items())}


def _harmless(value: object) -> Any:
    match value:
        case Enum():
            return _harmless(value.value)
        case bool() | int() | float() | None:
            return value
        case str():
            return printable(value, LINE_LENGTH)
        case Token() | PurePath():
            return printable(str(value), LINE_LENGTH)
        case Moment():
            return round(value.wall_s, 3)
        case _:
            return f"<{type(value).__name__}>"


def _message(record: logging.LogRecord) -> str:
    """The message with its arguments, each of them made harmless first."""
    args: Any = record.args
    if isinstance(args, Mapping):
        record.args = {key: _argument(value) for key, value in args.items()}
    elif args:
        record.args = tuple(_argument(value) for value in args)
    try:
        return printable(record.getMessage(), LINE_LENGTH)
    except Exception:
        return printable(str(record.msg), LINE_LENGTH)


def _argument(value: object) -> object:
    return str(value) if isinstance(value, Exception) else _harmless(value)


def _trace(record: logging.LogRecord) -> str:
    """Where it happened, without the values that were at hand."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return printable(f"{type(error).__name__}: {error} at {places}", TRACE_LENGTH)


class KeyValues(logging.Formatter):
    """`2026-01-01T03:04:05.678Z WARNING loop: message key=value`; in the journal `<4>loop: message ...`."""

    def __init__(self, *, priorities: bool) -> None:
        super().__init__()
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.name.removeprefix('mailward.')}: {_message(record)}"
        for key, value in _fields(record).items():
            text += f" {key}={json.dumps(value, ensure_ascii=False) if ' ' in str(value) else value}"
        trace = _trace(record)
        text += f" error={json.dumps(trace, ensure_ascii=False)}" if trace else ""
        if self._priorities:
            return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}"
        return f"{_stamp(record)} {record.levelname} {text}"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **{f"field_{key}" if key in ("time", "level") else key: v for key, v in _fields(record).items()},
        }
        trace = _trace(record)
        if trace:
            line["error"] = trace
        return json.dumps(line, ensure_ascii=False)


def _stamp(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
