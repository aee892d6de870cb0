"""What both name servers answer for every endpoint, watched: who was withdrawn, when, and who never was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Self

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.dns_watch import Change, DnsWatch
from tests.lab.harness.layout import DOMAIN, ENDPOINTS

PERIOD_S = 0.1


class Publication:
    """Watches all endpoints at primary and secondary; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._watches = {
            (server, endpoint): DnsWatch(server, f"{endpoint}.{DOMAIN}", period_s=PERIOD_S)
            for server in cluster.name_servers
            for endpoint in ENDPOINTS
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for watch in self._watches.values():
            self._stack.enter_context(watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_without(self, address: str, endpoints: Iterable[str], deadline_s: float) -> list[Change]:
        """Until neither server answers `address` for any of `endpoints`; the changes, the primary's first."""
        return self._wait(lambda values: address not in values, endpoints, deadline_s)

    def wait_with(self, address: str, endpoints: Iterable[str], deadline_s: float) -> list[Change]:
        return self._wait(lambda values: address in values, endpoints, deadline_s)

    def _wait(
        self, condition: Callable[[frozenset[str]], bool], endpoints: Iterable[str], deadline_s: float
    ) -> list[Change]:
        wanted = set(endpoints)
        return [
            watch.wait_for(condition, deadline_s)
            for (_, endpoint), watch in self._watches.items()
            if endpoint in wanted
        ]

    def gaps_of(self, address: str, endpoints: Iterable[str] = ENDPOINTS) -> list[str]:
        """Where and what was answered without `address`, ever since the watch began."""
        wanted = set(endpoints)
        return [
            f"{server} answered {sorted(change.values)} for {endpoint} at {change.at:.3f}"
            for (server, endpoint), watch in self._watches.items()
            if endpoint in wanted
            for change in list(watch.changes)
            if address not in change.values
        ]
