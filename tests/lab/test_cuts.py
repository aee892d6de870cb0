"""Lines that are cut for real between two sites, a witness and the store: what is said of it, and done.

A part of the table in `tests/simulation/test_cuts.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.lab.harness.daemons import Daemons
from tests.lab.harness.layout import ENDPOINTS
from tests.lab.harness.node import Direction
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

A, B, W = "mail-a", "mail-b", "witness"
LASTS_S, IN_TIME_S = 15.0, 30.0
GONE = f"nobody reaches {A}, and {A} beside it is silent: the host is down, or its site cut off"
SILENT = f"{A} is silent, and {A} beside it is reached: it ended, hangs, or is cut off from the store"


@dataclass(frozen=True)
class Pattern:
    """`host` is cut off from the addresses that `peers` gives, all where it gives none; `said` by the others,
    `out` whether mail-a leaves the zone."""

    host: str
    peers: Callable[[Daemons], list[str]]
    said: str
    out: bool = False
    direction: Direction = "both"


def hosts(*names: str) -> Callable[[Daemons], list[str]]:
    return lambda daemons: [daemons.hosts[name].address for name in names]


def store(daemons: Daemons) -> list[str]:
    return list(daemons.zookeeper.addresses.values())


def everything(_daemons: Daemons) -> list[str]:
    return []


SELDOM = ("A and the store", "the witness and both nodes", "nothing leaves A")
PATTERNS = {
    "A and B": Pattern(A, hosts(B), "site-a and site-b do not reach each other; others reach both"),
    "A and the store": Pattern(A, store, SILENT),
    "the witness and both nodes": Pattern(W, hosts(A, B), f"{W} does not reach {A}; others do"),
    "the witness and everything": Pattern(W, everything, ""),
    "the site of A": Pattern(A, everything, GONE, out=True),
    "nothing leaves A": Pattern(A, everything, GONE, out=True, direction="out"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.long] if each in SELDOM else []) for each in PATTERNS]
)
def test_a_cut_is_recognized_and_nothing_but_what_is_right_is_done(daemons: Daemons, name: str) -> None:
    pattern, cluster = PATTERNS[name], daemons.cluster
    host = daemons.hosts[pattern.host]
    teller = daemons.each[B if pattern.host == W else W]
    with Publication(cluster) as dns:
        host.cut(pattern.direction, pattern.peers(daemons))
        try:
            if pattern.said:
                wait_until(lambda: pattern.said in teller.status()["cuts"], "the cut is named", IN_TIME_S)
            if pattern.out:
                dns.wait_without(cluster.mail_a.address, ENDPOINTS, IN_TIME_S)
            else:
                time.sleep(LASTS_S)
                assert dns.gaps_of(cluster.mail_a.address) == []
        finally:
            host.mend()
        wait_until(lambda: teller.status()["cuts"] == [], "nothing is cut any more", IN_TIME_S)
        if pattern.out:
            dns.wait_with(cluster.mail_a.address, ENDPOINTS, 120)
        assert dns.gaps_of(cluster.mail_b.address) == []
    daemons.settle()
