"""A cluster of three in which nobody is switched off: the SSH of the node that serves is dead when its mail
services crash. The daemon beside it is asked through ZooKeeper to have it closed, and service moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from tests.lab.harness.both import Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import SSH
from tests.lab.harness.node import MailNode
from tests.lab.harness.sites import Sites
from tests.lab.harness.table import line
from tests.lab.harness.waiting import wait_until

MOVED_WITHIN_S = 60


@pytest.fixture(scope="module")
def running_sites(running_cluster: Cluster) -> Iterator[Sites]:
    running_cluster.heal()
    with Sites(running_cluster, power=False) as sites:
        sites.daemons.make_lead("witness")
        sites.settle("mail-a")
        yield sites


@pytest.fixture
def sites(running_sites: Sites, told_of_failures: object) -> Sites:
    return running_sites


@contextmanager
def without_ssh(node: MailNode) -> Iterator[None]:
    """Connections that were held ready are gone as well."""
    node.shell("pkill -x sshd; pkill -x sshd-session", check=False)
    wait_until(lambda: not node.accepts(SSH), f"nobody answers SSH on {node.name}", 10)
    try:
        yield
    finally:
        node.run("/usr/sbin/sshd", "-E", "/var/log/sshd.log")


def ladder(sites: Sites, node: str) -> dict[str, str]:
    """What `mailward fence test` comes to for each rung, from whoever leads."""
    done = sites.leader.cli("fence", "test", node, "--json")
    return {each["rung"]: each["worked"] for each in json.loads(done.stdout)["tried"]}


def test_a_node_whose_ssh_is_dead_is_closed_by_way_of_the_daemon_beside_it(sites: Sites) -> None:
    old = sites.cluster.mail_a
    assert ladder(sites, "mail-a") == {"ask": "works", "helper": "works", "human": "not tried"}
    with without_ssh(old), Both(sites.cluster) as both:
        assert ladder(sites, "mail-a") == {"ask": "works", "helper": "fails", "human": "not tried"}
        at = sites.at["mail-a"].crash()
        wait_until(partial(both.has_heard, "mail-b"), "mail-b serves", MOVED_WITHIN_S)
        last_s, first_s = both.moved("mail-a", "mail-b")
        wait_until(lambda: sites.leader.status()["operation"] is None, "it is done", MOVED_WITHIN_S)
        explained = " ".join(sites.leader.cli("explain", "mail-a").stdout.split())
        (ended,) = [each for each in sites.leader.status()["ended"] if each["kind"] == "failover"]
    print(f"mail-a greeted until {last_s - at:+.2f} s, mail-b from {first_s - at:+.2f} s; {ended}")
    assert both.at_once() == []
    assert ended["ending"] == "done"
    (fence_s,) = [mark["lasted_s"] for mark in ended["marks"] if mark["part"] == "fence"]
    line("ask: close, SSH is dead", "CONFIRMED users", fence_s, "by the mark of the failover")
    assert "CONFIRMED for users (acknowledged through the daemon beside it and refused on" in explained
    sites.mend()
    sites.settle("mail-b")
