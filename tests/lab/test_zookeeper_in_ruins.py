"""What becomes of ZooKeeper, and what mail users and automation see of it: its leader dies or freezes, the
quorum is lost, all servers restart, all data are lost and made anew."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import Daemons
from tests.lab.harness.layout import ENDPOINTS
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

LOST_S = float(os.environ.get("MAILWARD_LAB_HOLD_S", "10"))
"""So long the quorum is lost."""
ACTS_S, BACK_S = 30.0, 120.0
WITH_IMAP = ("mail", "imap")


@pytest.fixture(scope="module")
def daemons(running_cluster: Cluster) -> Iterator[Daemons]:
    running_cluster.heal()
    with Daemons(running_cluster, {"policy": {"hold_down_s": 0}}) as running:  # it crashes again and again
        running.settle()
        yield running


def assert_that_it_acts(daemons: Daemons) -> None:
    """A crash is failed over, and its node readmitted, by itself."""
    cluster = daemons.cluster
    with Publication(cluster) as dns:
        cluster.mail_a.kill_unit("dovecot")
        dns.wait_without(cluster.mail_a.address, WITH_IMAP, ACTS_S)
        cluster.mail_a.start_unit("dovecot")
        dns.wait_with(cluster.mail_a.address, WITH_IMAP, BACK_S)
        assert dns.gaps_of(cluster.mail_b.address) == []
    daemons.settle()


def nobody_sees(daemons: Daemons, what: Callable[[], None]) -> None:
    """Every endpoint has both nodes meanwhile, and all client ports stay open."""
    cluster = daemons.cluster
    with Publication(cluster) as dns:
        what()
        for node in cluster.nodes.values():
            node.wait_open(1)
            assert dns.gaps_of(node.address, ENDPOINTS) == []


def all_say_that_they_are_ready(daemons: Daemons) -> None:
    for name, daemon in daemons.each.items():
        wait_until(partial(_answers, daemon, 200), f"{name} is ready", 60)


def test_its_leader_dies(daemons: Daemons) -> None:
    server = daemons.zookeeper.containers[daemons.zookeeper.leader()]

    def dies() -> None:
        server.kill()
        time.sleep(3)
        daemons.settle()

    try:
        nobody_sees(daemons, dies)
        assert_that_it_acts(daemons)
    finally:
        server.start()


@pytest.mark.long
def test_its_leader_freezes(daemons: Daemons) -> None:
    server = daemons.zookeeper.containers[daemons.zookeeper.leader()]

    def freezes() -> None:
        server.pause()
        time.sleep(3)
        daemons.settle()

    try:
        nobody_sees(daemons, freezes)
        assert_that_it_acts(daemons)
    finally:
        server.unpause()


def test_the_quorum_is_lost_and_comes_back(daemons: Daemons) -> None:
    lost = list(daemons.zookeeper.containers.values())[:2]

    def is_lost() -> None:
        for server in lost:
            server.kill()
        for name, daemon in daemons.each.items():
            wait_until(partial(_answers, daemon, 503), f"{name} says that it is not ready", 30)
        time.sleep(LOST_S)
        for server in lost:
            server.start()
        all_say_that_they_are_ready(daemons)

    nobody_sees(daemons, is_lost)
    assert_that_it_acts(daemons)


@pytest.mark.long
def test_all_servers_restart_at_once(daemons: Daemons) -> None:
    def restart() -> None:
        for server in daemons.zookeeper.containers.values():
            server.kill()
        for name, daemon in daemons.each.items():
            wait_until(partial(_answers, daemon, 503), f"{name} has noticed", 30)
        for server in daemons.zookeeper.containers.values():
            server.start()
        all_say_that_they_are_ready(daemons)

    nobody_sees(daemons, restart)
    assert_that_it_acts(daemons)


def test_all_data_are_lost_and_a_person_makes_the_store_anew(daemons: Daemons) -> None:
    witness = daemons.each["witness"]
    before = json.loads(witness.cli("state", "show").stdout)

    def are_lost() -> None:
        for server in daemons.zookeeper.containers.values():
            assert server.exec_run(["sh", "-c", "rm -rf /data/*"]).exit_code == 0
            server.kill()
        for server in daemons.zookeeper.containers.values():
            server.start()
        witness.stop()
        witness.start(ready_within_s=0)  # one that is started meanwhile waits like the others
        for name, daemon in daemons.each.items():
            wait_until(partial(_says, daemon, "mailward state init"), f"{name} says what to type", 60)
        witness.do("state", "init", "--adopt", before["state"]["store_id"])
        all_say_that_they_are_ready(daemons)
        daemons.settle(120)

    nobody_sees(daemons, are_lost)
    after = json.loads(witness.cli("state", "show").stdout)
    assert after["epoch"] > before["epoch"]
    assert_that_it_acts(daemons)


def _answers(daemon: Controller, code: int) -> bool:
    return daemon.get("/ready")[0] == code


def _says(daemon: Controller, what: str) -> bool:
    return what in str(daemon.get("/ready")[1])
