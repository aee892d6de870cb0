"""What comes late is void, at BIND and at the helper: of an old seq, an old epoch, another store."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Any

import pytest
from tests.lab.harness import helper
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import DOMAIN, ENDPOINTS, SSH, TOKEN_NAME
from tests.lab.harness.nameserver import ask
from tests.lab.harness.node import MailNode
from tests.lab.harness.proxy import TcpProxy, is_dns_update
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

ALL_OPEN = {"smtp": "open", "submission": "open", "imap": "open", "imaps": "open"}


def token_in_dns(cluster: Cluster) -> tuple[str, int, int]:
    (value,) = ask(cluster.addresses.ns1, TOKEN_NAME, "TXT") or [""]
    store, epoch, seq = value.strip('"').split(".")
    return store, int(epoch), int(seq)


def through(proxy: TcpProxy) -> dict[str, Any]:
    return {"address": proxy.address[0], "port": proxy.address[1]}


def test_update_held_back_is_void_at_bind_when_it_comes_after_the_next(cluster: Cluster) -> None:
    failing = cluster.mail_a
    with TcpProxy((cluster.addresses.ns1, 53)) as proxy:
        server = {"server": proxy.address[0], "port": proxy.address[1], "verify": list(cluster.name_servers)}
        with Controller(cluster, {"dns": {"bind": {"rfc2136": server}}}), Publication(cluster) as dns:
            proxy.hold_next(is_dns_update)
            failing.kill_unit("dovecot")
            proxy.wait_held(15)
            dns.wait_without(failing.address, ENDPOINTS, 30)
            failing.start_unit("dovecot")
            dns.wait_with(failing.address, ENDPOINTS, 90)
            before = token_in_dns(cluster)
            with DnsWatch(cluster.addresses.ns1, f"mail.{DOMAIN}") as watch:
                proxy.deliver()
                time.sleep(2)
                assert len(watch.changes) == 1, "the late update changed the answer"
            assert token_in_dns(cluster) >= before


def test_order_held_back_is_void_at_the_helper_when_it_comes_after_the_next(cluster: Cluster) -> None:
    failing = cluster.mail_a
    with TcpProxy((failing.address, SSH)) as proxy:
        cluster.know_proxy("mail-a", proxy.address)
        changes = {"nodes": {"mail-a": {"helper": {"ssh": through(proxy)}}}}
        with Controller(cluster, changes), Publication(cluster) as dns:
            failing.kill_unit("dovecot")
            time.sleep(0.5)
            proxy.hold()
            dns.wait_without(failing.address, ENDPOINTS, 30)
            failing.start_unit("dovecot")
            dns.wait_with(failing.address, ENDPOINTS, 90)
            before = remembered(cluster, failing)
            proxy.deliver()
            time.sleep(3)
            assert remembered(cluster, failing) >= before
            assert failing.speaks(993) or failing.accepts(993)
            assert failing.speaks(143), "the late order closed the ports"


def remembered(cluster: Cluster, node: MailNode) -> tuple[int, int]:
    """Epoch and seq of the highest token the helper knows; (0, 0) before its first."""
    hello, _ = helper.ask(node, cluster.ssh, do="status")
    _, epoch, seq = (hello["token"] or "-.0.0").split(".")
    return int(epoch), int(seq)


def is_claimed(cluster: Cluster, node: MailNode, epoch: int) -> bool:
    return remembered(cluster, node)[0] == epoch


def test_helper_refuses_an_old_seq_an_old_epoch_and_another_store(cluster: Cluster) -> None:
    node, store = cluster.mail_a, "5e1f5e1f5e1f"
    closed = dict.fromkeys(ALL_OPEN, "closed")
    _, answer = helper.ask(node, cluster.ssh, do="ports", token=f"{store}.3.7", ports=closed)
    assert answer["ok"], answer
    wait_until(lambda: not node.accepts(143), "the ports are closed", 3)
    for token, error in (
        (f"{store}.3.7", "stale"),
        (f"{store}.3.6", "stale"),
        (f"{store}.2.99", "stale"),
        ("0dd0dd0dd0dd.9.9", "foreign"),
    ):
        _, answer = helper.ask(node, cluster.ssh, do="ports", token=token, ports=ALL_OPEN)
        assert (answer["ok"], answer["error"]) == (False, error), answer
    assert not node.accepts(143)
    _, answer = helper.ask(node, cluster.ssh, do="ports", token=f"{store}.3.8", ports=ALL_OPEN)
    assert answer["ok"], answer
    assert node.speaks(143)


def test_foreign_store_in_the_zone_stops_the_controller_with_a_clear_message(cluster: Cluster) -> None:
    controller = Controller(cluster)
    controller.init()
    cluster.zone.replace(TOKEN_NAME, "TXT", ['"0dd0dd0dd0dd.4.2"'])
    controller.start(ready_within_s=0)
    assert controller.wait_end(20) != 0
    assert "0dd0dd0dd0dd" in controller.log_tail()
    assert ask(cluster.addresses.ns1, TOKEN_NAME, "TXT") == frozenset({'"0dd0dd0dd0dd.4.2"'})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restarted_controller_claims_its_targets_before_anything_else(
    cluster: Cluster, number: signal.Signals
) -> None:
    with Controller(cluster) as controller:
        wait_until(lambda: ask(cluster.addresses.ns1, TOKEN_NAME, "TXT"), "the zone is claimed", 10)
        store, epoch, _ = token_in_dns(cluster)
        controller.end(number)
        controller.start()
        wait_until(lambda: token_in_dns(cluster)[1] == epoch + 1, "the zone is claimed anew", 10)
        for node in cluster.nodes.values():
            wait_until(partial(is_claimed, cluster, node, epoch + 1), f"{node.name} is claimed anew", 10)
        assert token_in_dns(cluster)[0] == store
