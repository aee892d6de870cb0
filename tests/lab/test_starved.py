"""Everything runs on a machine that has no time for it: nobody is taken out of service."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.daemons import Daemons, epochs_of
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import TOKEN_NAME
from tests.lab.harness.publication import Publication

LASTS_S = float(os.environ.get("MAILWARD_LAB_STARVE_S", "1200"))
LOAD = 5
"""Busy processes for each processor."""


def spin() -> None:
    while True:
        pass


@contextmanager
def starving() -> Iterator[None]:
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(LOAD * (os.cpu_count() or 1))]
    for each in busy:
        each.start()
    try:
        yield
    finally:
        for each in busy:
            each.kill()


@pytest.mark.long
def test_nobody_is_taken_out_for_want_of_time(cluster: Cluster) -> None:
    with (
        Daemons(cluster, session_s=10) as daemons,
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        daemons.settle()
        tokens.wait_for(bool, 30)
        before = epochs_of(tokens.changes)[-1][0]
        highest = 0.0
        with starving():
            ends = time.monotonic() + LASTS_S
            while time.monotonic() < ends:
                time.sleep(5)
                highest = max(highest, os.getloadavg()[0])
        daemons.settle(120)
        changes = epochs_of(tokens.changes)[-1][0] - before
        log = [line for daemon in daemons.each.values() for line in daemon.log_file.read_text().splitlines()]
        tilts = sum("does not trust" in line or "held up" in line for line in log)
        lost = sum("ZooKeeper is" in line and "CONNECTED" not in line for line in log)
        print(f"{LASTS_S:.0f} s, load up to {highest:.1f}: {changes} changes of leaders, {tilts} tilts,")
        print(f"{lost} connections to ZooKeeper lost")
        for node in cluster.nodes.values():
            assert dns.gaps_of(node.address) == []
        assert not any("failover" in line and "started" in line for line in log)
