"""Where no node could take over nothing is withdrawn, and `explain` names the gate and the next command."""

from __future__ import annotations

import time
from functools import partial

from tests.lab.harness.cluster import Cluster, together
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import DOMAIN
from tests.lab.harness.load import Load
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until


def explained(controller: Controller, node: str) -> str:
    shown = controller.cli("explain", node)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def assert_held(controller: Controller, dns: Publication, cluster: Cluster, node: str, gate: str) -> None:
    for each in cluster.nodes.values():
        assert dns.gaps_of(each.address) == []
    screen = explained(controller, node)
    held = [line for line in screen.splitlines() if line.split()[:2] in (["NO", gate], ["UNKNOWN", gate])]
    assert held, screen
    assert "mailward " in screen


def test_both_nodes_down_and_nothing_is_withdrawn(cluster: Cluster) -> None:
    # A grace that outlasts the moment between the two kills: else the first would be gone before the second.
    with Controller(cluster, {"policy": {"restart_grace_s": 4}}) as controller, Publication(cluster) as dns:
        together(*(partial(node.kill_unit, "dovecot") for node in cluster.nodes.values()))
        time.sleep(12)
        assert_held(controller, dns, cluster, "mail-a", "successor")


def test_other_node_behind_the_limit_and_nothing_is_withdrawn(cluster: Cluster) -> None:
    with Controller(cluster, {"policy": {"max_lag_s": 6, "caught_up_lag_s": 5}}) as controller:
        cluster.mail_a.cut(peers=[cluster.mail_b.address])
        load = Load(cluster, "behind")
        for number in range(15):
            assert load.send(number, cluster.mail_a.address)
        time.sleep(12)
        with Publication(cluster) as dns:
            cluster.mail_a.kill_unit("postfix")
            time.sleep(8)
            assert_held(controller, dns, cluster, "mail-a", "successor")


def test_other_node_answers_with_a_wrong_name_and_nothing_is_withdrawn(cluster: Cluster) -> None:
    """Cloned, or somebody else's address: who answers there is unknown, and unknown is no successor."""
    with Controller(cluster) as controller, Publication(cluster) as dns:
        cluster.mail_b.shell(f"postconf -e myhostname=mail-a.{DOMAIN} && postfix reload")
        try:
            wait_until(lambda: "mail-a answered" in explained(controller, "mail-b"), "it is noticed", 20)
            cluster.mail_a.kill_unit("postfix")
            time.sleep(8)
            assert_held(controller, dns, cluster, "mail-a", "successor")
        finally:
            cluster.mail_b.shell("postconf -X myhostname && postfix reload")


def test_other_node_failed_before_and_nothing_more_is_withdrawn(cluster: Cluster) -> None:
    with Controller(cluster) as controller, Publication(cluster) as dns:
        cluster.mail_b.kill_unit("dovecot")
        dns.wait_without(cluster.mail_b.address, ["mail", "imap", "smtp"], 20)
        cluster.mail_a.kill_unit("dovecot")
        time.sleep(8)
        assert dns.gaps_of(cluster.mail_a.address) == []
        assert "successor" in explained(controller, "mail-a")
