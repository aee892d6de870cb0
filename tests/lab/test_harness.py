"""The lab itself: what the scenario tests take for granted is true, and each fault looks as real ones do."""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from pathlib import Path

import asyncssh
import pytest
from tests.lab.harness.audit import audit, messages_of
from tests.lab.harness.both import PERIOD_S, Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import turn
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import CANARY, DOMAIN, IMAP, IMAPS, SMTP, SSH, SUBMISSION, USERS
from tests.lab.harness.load import Load, Outcome, read_inbox, submit
from tests.lab.harness.nameserver import ask
from tests.lab.harness.node import STORE, MailNode
from tests.lab.harness.proxy import TcpProxy, UdpProxy
from tests.lab.harness.waiting import wait_until

from mailward.configs.loading import load


def connect_result(node: MailNode, port: int, timeout_s: float = 1) -> str:
    """What a client sees: 'speaks', 'silent', 'refused', 'timeout' or 'closed'."""
    try:
        connection = socket.create_connection((node.address, port), timeout_s)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "timeout"
    with connection:
        try:
            return "speaks" if connection.recv(1) else "closed"
        except OSError:
            return "silent"


def send(cluster: Cluster, node: MailNode, run: str, count: int = 1) -> Load:
    load = Load(cluster, run)
    for number in range(count):
        assert load.send(number, node.address), load.attempts
    return load


def test_mail_delivered_to_one_node_is_visible_on_the_other(cluster: Cluster) -> None:
    send(cluster, cluster.mail_a, "there")
    wait_until(lambda: messages_of(cluster.mail_b, "there")[0] == 1, "the message is on mail-b", 5)
    send(cluster, cluster.mail_b, "back")
    wait_until(lambda: messages_of(cluster.mail_a, "back")[0] == 1, "the message is on mail-a", 5)


def test_two_nodes_that_serve_at_once_are_noticed_and_one_alone_is_not(cluster: Cluster) -> None:
    with Both(cluster) as both:
        time.sleep(2)
    assert both.at_once() != []
    assert both.asked > 1 / PERIOD_S
    cluster.mail_a.pause()
    with Both(cluster) as one:
        time.sleep(2)
    assert {greeting.node for greeting in one.greetings} == {"mail-b"}
    assert one.at_once() == []


def test_one_lab_at_a_time_has_three_daemons(tmp_path: Path) -> None:
    begun = threading.Event()

    def second() -> None:
        with turn(tmp_path):
            begun.set()

    waiting = threading.Thread(target=second)
    with turn(tmp_path):
        waiting.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    waiting.join()


def test_greeting_and_banner_name_the_node_that_answered(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        for port in (SMTP, IMAP):
            with socket.create_connection((node.address, port), 2) as connection:
                assert node.hostname in connection.recv(200).decode()


def test_canary_reads_its_inbox_on_both_nodes_and_replication_stays_whole(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        assert read_inbox(node.address, CANARY, cluster.tls_context()).error is None
    cluster.drain_replication()


def test_signed_update_is_seen_at_once_at_both_name_servers_and_after_the_ttl_at_the_resolver(
    cluster: Cluster,
) -> None:
    name, survivor = f"mail.{DOMAIN}", cluster.mail_b.address
    with (
        DnsWatch(cluster.addresses.ns1, name) as first,
        DnsWatch(cluster.addresses.ns2, name) as second,
        DnsWatch(cluster.addresses.resolver, name) as resolver,
    ):
        at = time.time()
        assert cluster.zone.replace(name, "A", [survivor]) == "NOERROR"
        assert first.wait_for(lambda values: values == {survivor}, 1).at - at < 0.5
        assert second.wait_for(lambda values: values == {survivor}, 2).at - at < 1.5
        assert resolver.wait_for(lambda values: values == {survivor}, 8).at - at < 7


def test_updates_of_names_and_types_not_granted_are_refused(cluster: Cluster) -> None:
    assert cluster.zone.replace(f"mail-a.{DOMAIN}", "A", ["192.0.2.1"]) == "REFUSED"
    assert cluster.zone.replace(f"mail.{DOMAIN}", "TXT", ['"x"']) == "REFUSED"
    assert ask(cluster.addresses.ns1, f"mail-a.{DOMAIN}") == frozenset({cluster.mail_a.address})


def test_killed_dovecot_refuses_imap_while_port_25_still_greets(cluster: Cluster) -> None:
    node = cluster.mail_a
    node.kill_unit("dovecot")
    assert node.unit_status("dovecot") == "failed"
    assert [connect_result(node, port) for port in (IMAP, IMAPS, SMTP)] == ["refused", "refused", "speaks"]
    assert submit(node.address, USERS[0], "dead", 0, cluster.tls_context())[0] is not Outcome.ACCEPTED
    node.start_unit("dovecot")
    assert node.unit_status("dovecot") == "active"
    assert connect_result(node, IMAP) == "speaks"


def test_killed_postfix_refuses_smtp_while_imap_still_greets(cluster: Cluster) -> None:
    node = cluster.mail_a
    node.kill_unit("postfix")
    results = [connect_result(node, port) for port in (SMTP, SUBMISSION, IMAP)]
    assert results == ["refused", "refused", "speaks"]
    node.start_unit("postfix")
    assert connect_result(node, SMTP) == "speaks"


def test_frozen_dovecot_accepts_and_stays_silent(cluster: Cluster) -> None:
    cluster.mail_a.freeze_unit("dovecot")
    assert [connect_result(cluster.mail_a, port) for port in (IMAP, SMTP)] == ["silent", "speaks"]
    cluster.mail_a.thaw_unit("dovecot")
    assert connect_result(cluster.mail_a, IMAP) == "speaks"


def test_killed_node_vanishes_and_comes_back_with_its_mail(cluster: Cluster) -> None:
    send(cluster, cluster.mail_a, "kept")
    cluster.mail_a.kill()
    assert connect_result(cluster.mail_a, IMAP) == "timeout"
    cluster.mail_a.heal()
    cluster.mail_a.wait_open()
    cluster.mail_a.flush_queue()
    wait_until(lambda: messages_of(cluster.mail_a, "kept")[0] == 1, "the message is still on mail-a", 60)


def test_paused_node_accepts_and_stays_silent(cluster: Cluster) -> None:
    cluster.mail_a.pause()
    assert [connect_result(cluster.mail_a, port) for port in (IMAP, SMTP, SSH)] == ["silent"] * 3
    cluster.mail_a.unpause()
    assert connect_result(cluster.mail_a, IMAP) == "speaks"


@pytest.mark.parametrize("direction", ["both", "in", "out"])
def test_cut_node_times_out_whichever_way_packets_are_dropped(cluster: Cluster, direction: str) -> None:
    cluster.mail_a.cut(direction)  # type: ignore[arg-type]
    assert [connect_result(cluster.mail_a, port) for port in (IMAP, SSH)] == ["timeout"] * 2
    cluster.mail_a.mend()
    assert connect_result(cluster.mail_a, IMAP) == "speaks"


def test_link_cut_between_the_nodes_stops_replication_and_nothing_else(cluster: Cluster) -> None:
    cluster.mail_a.cut(peers=[cluster.mail_b.address])
    load = send(cluster, cluster.mail_a, "held", 3)
    time.sleep(1)
    assert messages_of(cluster.mail_b, "held").total() == 0
    assert cluster.mail_a.replication_backlog() == 3
    cluster.mail_a.mend()
    assert audit(cluster, load, deadline_s=60).is_clean


def test_full_disk_fails_deliveries_but_no_login_and_no_recipient(cluster: Cluster) -> None:
    node = cluster.mail_a
    node.fill_disk()
    assert node.free_bytes() == 0
    assert read_inbox(node.address, USERS[1], cluster.tls_context()).error is None
    load = send(cluster, node, "full")
    wait_until(lambda: node.queued() == 1, "the message waits in the queue", 10)
    node.free_disk()
    assert audit(cluster, load, deadline_s=60).is_clean


def test_audit_reports_a_message_deleted_behind_everybodys_back_as_lost(cluster: Cluster) -> None:
    load = send(cluster, cluster.mail_a, "gone", 5)
    assert audit(cluster, load).is_clean
    for node in cluster.nodes.values():
        node.shell(f"grep -rl '<gone.3@' {STORE} | xargs rm")
    report = audit(cluster, load, deadline_s=3)
    assert report.lost == {"mail-a": [3], "mail-b": [3]}
    assert not report.is_clean


def test_load_under_a_crash_loses_nothing(cluster: Cluster) -> None:
    with Load(cluster, "crash") as load:
        time.sleep(2)
        cluster.mail_a.kill_unit("dovecot")
        time.sleep(3)
        cluster.mail_a.start_unit("dovecot")
        time.sleep(2)
    report = audit(cluster, load)
    print(report)
    assert report.is_clean
    assert report.accepted > 40
    assert load.accepted_at(cluster.mail_a.address)
    assert [read for read in load.reads if read.error is None]


def test_announced_restart_is_reported_while_it_lasts(cluster: Cluster) -> None:
    import threading

    restart = threading.Thread(target=cluster.mail_a.restart_unit, args=("dovecot", 1.0))
    restart.start()
    wait_until(lambda: cluster.mail_a.unit_status("dovecot") == "restarting", "the restart is seen", 5, 0.05)
    restart.join()
    assert cluster.mail_a.unit_status("dovecot") == "active"


async def test_ssh_reaches_the_helper_and_nothing_else(cluster: Cluster) -> None:
    async with asyncssh.connect(
        cluster.mail_a.address,
        username="mailward",
        client_keys=[str(cluster.ssh.key_file)],
        known_hosts=str(cluster.ssh.known_hosts),
        config=None,
        agent_path=None,
    ) as connection:
        answer = await connection.run("cat /etc/dovecot/users", input="", timeout=5)
    assert str(answer.stdout).startswith('{"mailward_node"')
    assert "secret" not in str(answer.stdout)


def test_configuration_of_the_lab_has_no_mistake(cluster: Cluster) -> None:
    config = load(Controller(cluster).config_file)
    assert list(config.nodes) == ["mail-a", "mail-b"]


def test_held_tcp_connection_is_delivered_after_a_later_one(cluster: Cluster) -> None:
    with TcpProxy((cluster.mail_a.address, SMTP)) as proxy:
        proxy.hold_next()
        early = socket.create_connection(proxy.address, 2)
        early.sendall(b"QUIT\r\n")
        proxy.wait_held(2)
        with smtplib.SMTP(*proxy.address, timeout=2) as later:
            assert later.noop()[0] == 250
        assert early.recv(1000).startswith(b"220")
        early.settimeout(0.3)
        with pytest.raises(TimeoutError):
            early.recv(1000)
        proxy.deliver()
        early.settimeout(2)
        assert early.recv(1000).startswith(b"221")
        early.close()


def test_held_datagram_is_delivered_after_a_later_one(cluster: Cluster) -> None:
    import dns.message
    import dns.query

    query = dns.message.make_query(f"mail.{DOMAIN}", "A")
    with UdpProxy((cluster.addresses.ns1, 53)) as proxy:
        proxy.hold_next()
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(query, proxy.address[0], port=proxy.address[1], timeout=0.3)
        assert dns.query.udp(query, proxy.address[0], port=proxy.address[1], timeout=2).answer
        assert len(proxy.deliver()) == 1
