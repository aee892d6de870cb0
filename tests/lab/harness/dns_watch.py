"""When did the answer of DNS change? One server, one RRset, asked every 20 ms by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.harness.nameserver import ask
from tests.lab.harness.waiting import wait_until

PERIOD_S = 0.02


@dataclass(frozen=True)
class Change:
    """From `at` (`time.time()`) on the server answered `values`."""

    at: float
    values: frozenset[str]


class DnsWatch:
    """Every change of an RRset's answer while the watch is on (a context manager); no answer is no change."""

    def __init__(self, server: str, name: str, rdtype: str = "A", period_s: float = PERIOD_S) -> None:
        self.server, self.name, self.rdtype = server, name, rdtype
        self._period_s = period_s
        self.changes: list[Change] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{server}", daemon=True)

    def __enter__(self) -> DnsWatch:
        self._thread.start()
        wait_until(lambda: self.changes, f"{self.server} answers for {self.name}", 5, 0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    @property
    def now(self) -> frozenset[str]:
        """The newest answer."""
        return self.changes[-1].values

    def wait_for(self, condition: Callable[[frozenset[str]], bool], deadline_s: float) -> Change:
        """The change that made `condition` true of the newest answer; TimeoutError after `deadline_s`."""
        what = f"{self.server} changes its answer for {self.name} (now {sorted(self.now)})"
        wait_until(lambda: condition(self.now), what, deadline_s, self._period_s)
        return self.changes[-1]

    def ever(self, condition: Callable[[frozenset[str]], bool]) -> bool:
        return any(condition(change.values) for change in list(self.changes))

    def _watch(self) -> None:
        while not self._stopping.wait(self._period_s):
            values = ask(self.server, self.name, self.rdtype, timeout_s=0.3)
            if values is not None and (not self.changes or self.changes[-1].values != values):
                self.changes.append(Change(time.time(), values))
