"""Wherever the leader is, it is known whether a node's ports are closed: beside the node nothing of that is
seen, and beside its peer port 25 stays open; then other daemons look."""

from __future__ import annotations

import pytest
from tests.lab.harness.daemons import SITES, Daemons
from tests.lab.harness.layout import ENDPOINTS
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

NODE = "mail-a"


@pytest.mark.parametrize("place", SITES)
def test_closed_ports_are_confirmed_and_opened_again(daemons: Daemons, place: str) -> None:
    daemons.make_lead(place)
    daemons.settle()
    leader, cluster = daemons.each[place], daemons.cluster
    with Publication(cluster) as dns:
        leader.do("drain", NODE, "--wait")
        wait_until(lambda: fence(daemons, place) == ("CONFIRMED", {"closed"}), "it is seen to be closed", 10)
        leader.do("readmit", NODE, "--wait")
        dns.wait_with(cluster.mail_a.address, ENDPOINTS, 10)
        assert fence(daemons, place) == ("CONFIRMED", {"open"})
        assert dns.gaps_of(cluster.mail_b.address) == []


def fence(daemons: Daemons, place: str) -> tuple[str, set[str]]:
    """What the last order to the client ports has come to, and what they were ordered to be."""
    (node,) = [each for each in daemons.each[place].status()["nodes"] if each["node"] == NODE]
    ports = node["ports"] or {"fence": "", "ports": {}}
    return ports["fence"], set(ports["ports"].values())
