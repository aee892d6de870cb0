"""Three daemons agree in ZooKeeper: one leads; any of them, or of the servers, may be gone; mail goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller, free_port, merged
from tests.lab.harness.daemons import SESSION_S, Daemons, epochs_of, settled
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import ENDPOINTS, TOKEN_NAME
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

NEXT_S = 3 * SESSION_S
"""Until somebody else leads when the leader's session has to end first, on a slow machine."""


@pytest.fixture
def daemons(cluster: Cluster) -> Iterator[Daemons]:
    with Daemons(cluster) as running:
        yield running


def test_any_of_them_may_be_asked_and_the_leader_does_it(cluster: Cluster, daemons: Daemons) -> None:
    leader = daemons.leader()
    follower = daemons.others(leader)[0]
    tried = [each.cli("drain", "mail-a", "--dry-run", "--json") for each in daemons.each.values()]
    said = {(would["progress"], would["detail"]) for would in (json.loads(each.stdout) for each in tried)}
    assert len(said) == 1, said
    assert {each.returncode for each in tried} == {0}, said
    with Publication(cluster) as dns:
        follower.do("drain", "mail-a", "--reason", "new disks", "--wait")
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 5)
        for daemon in daemons.each.values():
            wait_until(partial(_knows_that_it_is_done, daemon), "everybody knows", 5)
        assert dns.gaps_of(cluster.mail_b.address) == []


@pytest.mark.long
def test_a_leader_that_is_killed_in_an_operation_is_followed_by_one_who_ends_it(
    cluster: Cluster, daemons: Daemons
) -> None:
    killed = daemons.leader()
    with (
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        daemons.others(killed)[0].do("drain", "mail-a")
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 10)
        daemons.each[killed].kill()
        leader = daemons.each[daemons.leader(other_than=killed, within_s=NEXT_S)]
        wait_until(lambda: settled(leader), "the drain has ended", 60)
        (drain, *_) = [each for each in leader.status()["ended"] if each["kind"] == "drain"]
        assert (drain["node"], drain["ending"]) == ("mail-a", "done")
        assert dns.gaps_of(cluster.mail_b.address) == []
        daemons.each[killed].start()
        assert epochs_of(tokens.changes) == sorted(epochs_of(tokens.changes))


@pytest.mark.long
def test_a_leader_that_stood_still_wakes_as_a_follower_and_sends_nothing_late(
    cluster: Cluster, daemons: Daemons
) -> None:
    stopped = daemons.leader()
    with (
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        os.kill(daemons.each[stopped].pid, signal.SIGSTOP)
        leader = daemons.each[daemons.leader(other_than=stopped, within_s=NEXT_S)]
        cluster.mail_a.kill_unit("dovecot")
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 30)
        wait_until(lambda: settled(leader), "the failover has ended", 60)
        epoch = epochs_of(tokens.changes)[-1][0]
        os.kill(daemons.each[stopped].pid, signal.SIGCONT)
        wait_until(lambda: daemons.each[stopped].status()["standing"] == "following", "it follows", 10)
        time.sleep(3)
        heard = epochs_of(tokens.changes)
        assert heard == sorted(heard)
        assert heard[-1][0] == epoch
        assert dns.gaps_of(cluster.mail_b.address) == []


def test_without_a_quorum_nothing_changes_and_automation_resumes_by_itself(
    cluster: Cluster, daemons: Daemons
) -> None:
    daemons.leader()
    with Publication(cluster) as dns:
        for number in (1, 2):
            daemons.zookeeper.containers[number].kill()
        for daemon in daemons.each.values():
            wait_until(partial(_is_not_ready, daemon), "it says that it is not ready", 20)
            said = daemon.cli("status")
            assert "HELD" in said.stdout, said.stdout + said.stderr
            assert "ZooKeeper" in said.stdout, said.stdout
        cluster.mail_a.kill_unit("dovecot")
        time.sleep(10)
        assert dns.gaps_of(cluster.mail_a.address) == []
        for daemon in daemons.each.values():
            assert_it_sees_without_a_store(daemon)
        for number in (1, 2):
            daemons.zookeeper.containers[number].start()
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 60)
        assert dns.gaps_of(cluster.mail_b.address) == []


def assert_it_sees_without_a_store(daemon: Controller) -> None:
    """Its own probes, and directly what the others see; who leads nobody knows."""
    shown = daemon.status()
    assert shown["standing"] == "following"
    assert not any(each["leads"] for each in shown["observers"])
    assert [each["void"] for each in shown["observers"]] == ["", "", ""], shown["observers"]
    assert shown["recorded_age_s"] > 10
    (imaps,) = [each for each in shown["nodes"][0]["services"] if each["service"] == "imaps"]
    assert imaps["verdict"] == "DOWN"
    assert set(imaps["verdicts"].values()) == {"DOWN"}


def test_one_server_that_hangs_costs_nobody_the_lead(cluster: Cluster) -> None:
    """The leader's connection is given up in time, and another server is asked."""
    with Daemons(cluster, session_s=10) as daemons:
        leader = daemons.leader()
        paused = daemons.zookeeper.containers[daemons.server_of(leader)]
        epoch = recorded_epoch(daemons)
        paused.pause()
        try:
            time.sleep(12)
            assert daemons.leader() == leader
            cluster.mail_a.kill_unit("dovecot")
            with Publication(cluster) as dns:
                dns.wait_without(cluster.mail_a.address, ENDPOINTS, 10)
        finally:
            paused.unpause()
        assert recorded_epoch(daemons) == epoch


def recorded_epoch(daemons: Daemons) -> int:
    shown = daemons.each["witness"].cli("state", "show")
    assert shown.returncode == 0, shown.stderr
    return int(json.loads(shown.stdout)["epoch"])


def test_automation_can_be_paused_while_the_leader_hangs(cluster: Cluster, daemons: Daemons) -> None:
    stopped = daemons.leader()
    os.kill(daemons.each[stopped].pid, signal.SIGSTOP)
    try:
        daemons.others(stopped)[0].do("pause", "--for", "10m", "--reason", "the leader hangs")
    finally:
        os.kill(daemons.each[stopped].pid, signal.SIGCONT)
    with Publication(cluster) as dns:
        cluster.mail_a.kill_unit("dovecot")
        time.sleep(8)
        assert dns.gaps_of(cluster.mail_a.address) == []
        daemons.others(stopped)[0].do("resume")
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 30)


def test_a_leader_whose_process_was_seen_to_end_is_replaced_before_its_session_has_ended(
    cluster: Cluster, daemons: Daemons
) -> None:
    killed = daemons.leader()
    time.sleep(3)  # the others hold their connections to it
    at = daemons.each[killed].kill()
    leader = daemons.each[daemons.leader(other_than=killed, within_s=SESSION_S / 2)]
    took_s = time.time() - at
    log = leader.log_file.read_text()
    assert "leading before the last leader's session has ended" in log, took_s
    print(f"led {took_s:.2f} s after the kill")


def test_a_clean_stop_hands_the_lead_over_at_once(cluster: Cluster, daemons: Daemons) -> None:
    stopped = daemons.leader()
    daemons.each[stopped].stop()
    daemons.leader(other_than=stopped, within_s=SESSION_S / 2)


def test_a_configuration_rolled_out_to_two_of_three_leads_and_the_third_is_named(
    cluster: Cluster, daemons: Daemons
) -> None:
    """The leader is the one left behind."""
    old = daemons.leader()
    for daemon in daemons.others(old):
        daemon.stop()
        daemon.configure(merged(daemon.values, {"policy": {"stable_s": 4}}))
        daemon.start()
    leader = daemons.each[daemons.leader(other_than=old, within_s=NEXT_S)]
    with Publication(cluster) as dns:
        cluster.mail_a.kill_unit("dovecot")
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 15)
    said, its_own = leader.cli("status"), daemons.each[old].cli("status")
    assert f"{old} does not count: runs with another configuration" in said.stdout, said.stdout
    assert "this daemon does not lead: it runs with another configuration than" in its_own.stdout


def test_a_daemon_started_twice_under_one_name_is_told_of(cluster: Cluster, daemons: Daemons) -> None:
    daemons.leader()
    ours = daemons.each["witness"].values
    api = {"listen": f"127.0.0.1:{free_port()}", "socket": f"{ours['api']['socket']}-2"}
    with_another_door = merged(ours, {"api": api, "observers": ours["observers"]})
    twin = Controller(cluster, name="daemon-twin")
    twin.configure(with_another_door)
    try:
        twin.start(ready_within_s=0)
        wait_until(
            lambda: "another process reports as witness" in daemons.each["witness"].cli("status").stdout,
            "its twin is noticed",
            20,
        )
    finally:
        twin.__exit__()


def _knows_that_it_is_done(daemon: Controller) -> bool:
    ended = daemon.status()["ended"]
    return bool(ended) and ended[0]["ending"] == "done"


def _is_not_ready(daemon: Controller) -> bool:
    return daemon.get("/ready")[0] == 503
