"""What a daemon knows of the store by what was acknowledged: until when it may act, how old each report is.

Nobody else's clock is looked at, and nothing is believed that only a library says of its connection. All
times are boot seconds of this host.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from mailward.model.policy import Observer
from mailward.model.report import Report
from mailward.model.snapshot import ObserverView

Mark = TypeVar("Mark")


class Contact:
    """The heartbeats of one session: writes, for a read is answered by a server that has lost its leader.

    A server passes on that a session lives only when its leader asks, every half tick: the newest heartbeat
    acknowledged may not have counted yet, and the session may end a timeout after an earlier one. So that one
    counts which was sent `spacing_s`, half a tick or more, before the newest. `margin_s` is for drift and
    scheduling."""

    def __init__(self, spacing_s: float, margin_s: float) -> None:
        self._spacing_s = spacing_s
        self._margin_s = margin_s
        self._sent_s: list[float] = []

    def acknowledged(self, sent_s: float) -> None:
        """A heartbeat sent at `sent_s` was acknowledged."""
        self._sent_s.append(sent_s)
        while len(self._sent_s) > 1 and self._sent_s[1] <= sent_s - self._spacing_s:
            del self._sent_s[0]

    def deadline_s(self, session_s: float) -> float:
        """Until when the session is sure to live, -inf before two heartbeats."""
        if len(self._sent_s) < 2 or self._sent_s[0] > self._sent_s[-1] - self._spacing_s:
            return float("-inf")
        return self._sent_s[0] + session_s - self._margin_s


class Heard(Generic[Mark]):
    """Every observer's newest report, and since when it may have been there.

    It was not there when we read before it moved: its age runs from then. Of one that was there when we first
    read nobody knows; nor, after a gap in our reading, of one that moved meanwhile. That it has not
    moved is certain only since we first had it in our hands, though it may be much older."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[Mark, float, Report]] = {}
        self._still_s: dict[str, float] = {}
        self._read_s = float("-inf")

    def mark(self, observer: str) -> Mark | None:
        """The mark of the newest one read."""
        newest = self._newest.get(observer)
        return newest[0] if newest else None

    def read(self, asked_s: float, found: Mapping[str, tuple[Mark, Report]], had_s: float) -> None:
        """What was found when it was asked for at `asked_s`, and was here at `had_s`: by observer, a mark
        that moves with each report, and the report."""
        before_s, self._read_s = self._read_s, asked_s
        for observer, (mark, report) in sorted(found.items()):
            if self.mark(observer) != mark:
                self._newest[observer] = mark, before_s, report
                self._still_s[observer] = had_s

    def garbled(self, observer: str, had_s: float) -> None:
        """One has moved, and nobody can read it: nothing is known of what it says."""
        self._still_s[observer] = had_s

    def views(self, observers: Sequence[Observer], now_s: float) -> tuple[ObserverView, ...]:
        """Of every configured observer, in their order."""
        found = []
        for observer in observers:
            heard = self._newest.get(observer.name)
            report, age_s = (heard[2], now_s - heard[1]) if heard else (None, 0.0)
            still_s = max(0.0, self._read_s - self._still_s.get(observer.name, self._read_s))
            found.append(ObserverView(observer.name, observer.votes, report, age_s, still_s))
        return tuple(found)
