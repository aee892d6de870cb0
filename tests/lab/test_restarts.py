"""A restart is no failure: nothing moves for a quick one, nor for a long one that the node announces."""

from __future__ import annotations

import time

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import UNITS
from tests.lab.harness.publication import Publication

GRACE_S = 4.0


@pytest.mark.parametrize("unit", UNITS)
def test_unit_back_within_the_grace_moves_nothing(cluster: Cluster, unit: str) -> None:
    node = cluster.mail_a
    with Controller(cluster, {"policy": {"restart_grace_s": GRACE_S}}), Publication(cluster) as dns:
        started = time.monotonic()
        node.shell(f"svc kill {unit}; svc start {unit}")
        took_s = time.monotonic() - started
        assert took_s < GRACE_S, "this machine is too slow to restart a unit within the grace"
        time.sleep(2 * GRACE_S)
        assert dns.gaps_of(node.address) == []


@pytest.mark.parametrize("unit", UNITS)
def test_announced_restart_of_ten_seconds_moves_nothing(cluster: Cluster, unit: str) -> None:
    node = cluster.mail_a
    with Controller(cluster), Publication(cluster) as dns:
        started = time.monotonic()
        node.restart_unit(unit, between_s=7)
        assert 7 < time.monotonic() - started < 14
        time.sleep(5)
        assert dns.gaps_of(node.address) == []
