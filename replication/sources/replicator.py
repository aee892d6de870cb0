"""What Dovecot 2.3's replicator says of itself, from rows to values. Pure.

Read off Dovecot 2.3.19 and measured there:

- A user being synchronised has priority `none` and is counted nowhere: only its dsync slot shows it.
  With a black-holed peer that is where the first users vanish to.
- `fast sync` also moves on a failed try, and when the *peer* has synchronised the user; `success sync`
  only when this replicator itself succeeded. A `success` older than `fast` is therefore normal.
- `full resync` is the periodic pass over users who are in sync as far as anybody knows: no lag.
- Every exit of the replicator shows as another pid; the master's counters tell one boot's pid from
  the next one's. They do not tell a crash, which loses the queue, from a reload, which keeps it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailward.replication.sources.doveadm import DoveadmError, Malformed, Problem, Row, text_of

_COUNT = re.compile(r"[0-9]{1,18}")
_AGE = re.compile(r"([0-9]{2,9}):([0-5][0-9]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Overview:
    """Users by what they wait for; each user is counted at most once."""

    sync: int
    high: int
    low: int
    failed: int
    full_resync: int
    waiting_failed: int
    known: int

    @property
    def waiting(self) -> int:
        return self.sync + self.high + self.low + self.failed + self.waiting_failed


_FIELDS = {
    "Queued 'sync' requests": "sync",
    "Queued 'high' requests": "high",
    "Queued 'low' requests": "low",
    "Queued 'failed' requests": "failed",
    "Queued 'full resync' requests": "full_resync",
    "Waiting 'failed' requests": "waiting_failed",
    "Total number of known users": "known",
}


@dataclass(frozen=True, slots=True)
class User:
    """One user's row. `success_age_s` is None when this replicator never synchronised it."""

    waiting: bool
    success_age_s: int | None


@dataclass(frozen=True, slots=True)
class Process:
    """Which replicator process answered. `started` and `requests` are the master's counts of
    replicator and doveadm processes; `crashed` says that this master has seen a replicator crash."""

    pid: int
    started: int
    requests: int
    crashed: bool

    def continues(self, before: "Process") -> bool:
        """Whether this is the same process, whose memory is whole."""
        same = (self.pid, self.started) == (before.pid, before.started)
        return same and self.requests >= before.requests


def _count(text: str, field: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise Malformed(f"{field!r} is not a number")
    return int(text)


def read_overview(rows: list[Row]) -> Overview:
    """Of one answer, or of several together: then the most that any of them counted."""
    counts: dict[str, int] = {}
    for row in rows:
        field = text_of(row, "field")
        if field in _FIELDS:
            name = _FIELDS[field]
            counts[name] = max(counts.get(name, 0), _count(text_of(row, "value"), field))
    missing = [field for field, name in _FIELDS.items() if name not in counts]
    if missing:
        raise Malformed(f"the replicator's status lacks {missing[0]!r}")
    return Overview(**counts)


def read_user(row: Row) -> tuple[str, User]:
    """Name and row; a priority nobody has heard of counts as waiting, and so does a failed attempt."""
    waiting = text_of(row, "failed") != "-" or text_of(row, "priority") != "none"
    return text_of(row, "username"), User(waiting, _age_s(text_of(row, "success sync")))


def _age_s(text: str) -> int | None:
    if text == "-":
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise Malformed("'success sync' is not an age")
    hours, minutes, seconds = map(int, match.groups())
    return hours * 3600 + minutes * 60 + seconds


def read_slot(row: Row) -> str:
    """The user this dsync connection works on, '' for none."""
    return text_of(row, "username")


def read_process(processes: list[Row], services: list[Row]) -> Process:
    by_name = {text_of(row, "name"): row for row in services}
    if len(processes) != 1 or not {"replicator", "doveadm"} <= by_name.keys():
        raise DoveadmError(Problem.COMMAND, "no replicator process runs")
    return Process(
        pid=_count(text_of(processes[0], "pid"), "pid"),
        started=_number(by_name, "replicator", "process_total"),
        requests=_number(by_name, "doveadm", "process_total"),
        crashed=_number(by_name, "replicator", "exit_failure_last") > 0,
    )


def _number(services: Mapping[str, Row], service: str, field: str) -> int:
    return _count(text_of(services[service], field), field)
