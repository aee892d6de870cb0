"""Leases: what is missing so that somebody renews them is said when the file is loaded."""

import pytest
from tests.unit.configs.good import Edit, Loaded, Problems

from mailward.app.peering import beside as beside_of
from mailward.configs.check import describe

A = "{name: mail-a, node: mail-a, address: 'a.example.com:7443'}"
B = "{name: mail-b, node: mail-b, address: 'b.example.com:7443'}"
WATCH = "{name: watch, address: 'w.example.com:7443'}"
ZOOKEEPER = "coordination: {zookeeper: {servers: [zk1:2281]}}"


def leased(*observers: str, store: str = ZOOKEEPER, lease_s: str = "15") -> tuple[Edit, ...]:
    listed = ", ".join(observers or (A, B, WATCH))
    lines = f"policy: {{lease_s: {lease_s}}}\n{store}\nobserver: mail-a\nobservers: [{listed}]\n"
    return (
        ("deployment: hybrid", "deployment: cluster"),
        ("canary: {", f"{lines}canary: {{"),
        (", nodes: [mail-a, mail-b]", ""),
    )


def test_a_daemon_beside_every_node_that_all_can_ask_is_all_it_takes(loaded: Loaded) -> None:
    config = loaded(*leased())
    assert config.policy.lease_s == 15
    assert "  lease: 15 s, renewed by the daemon mail-b" in describe(config)


def test_who_never_leads_need_not_be_asked(loaded: Loaded) -> None:
    assert loaded(*leased(A, B, "{name: watch, leader: never}")).policy.lease_s == 15


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        (
            leased(lease_s="15, fence_scope: writes"),
            "line 18: policy.lease_s: a lease closes client ports and stops no writer, so that with"
            " policy.fence_scope: writes it would stop nobody: leave one of the two lines out",
        ),
        (
            leased("{name: mail-a}", store=""),
            "line 18: policy.lease_s: a lease is renewed by a daemon beside every node, and several daemons"
            " agree in ZooKeeper: write coordination.zookeeper, or leave the line out",
        ),
        (
            leased(A, "{name: mail-b, address: 'b.example.com:7443'}", WATCH),
            "line 21: observers: none is beside mail-b: nobody would renew its lease (policy.lease_s), and it"
            " would refuse its clients: write `node: mail-b` at the observer that runs there",
        ),
        (
            leased(A, B, "{name: watch, node: mail-b, address: 'w.example.com:7443'}"),
            "line 21: observers[2].node: mail-b runs beside mail-b already: each node has one daemon of its"
            " own",
        ),
        (
            leased(A, B, "{name: watch}"),
            "line 21: observers[2].address: missing: with policy.lease_s mail goes on without ZooKeeper only"
            " if every daemon that may lead can be asked not to: write where the others reach it, or"
            " `leader: never`",
        ),
        (
            leased(lease_s="14"),
            "line 18: policy.lease_s: 14 s is too short to go on when ZooKeeper fails. Since the last renewal"
            " may pass: one round (a fifth of it, 2.8 s), the time until every daemon knows that ZooKeeper is"
            " gone (coordination.zookeeper.session_s, 10 s), and until all have promised (2 s): write 15 or"
            " more, or a shorter session_s",
        ),
        (
            leased(A, B.replace("node: mail-b", "node: mail-x"), WATCH),
            "line 21: observers[1].node: 'mail-x' is not a node: did you mean mail-b?",
        ),
    ],
)
def test_what_is_missing_is_named(problems: Problems, edits: tuple[Edit, ...], said: str) -> None:
    found = problems(*edits)
    assert said in found, found


def test_a_shorter_session_allows_a_shorter_lease(loaded: Loaded) -> None:
    store = "coordination: {zookeeper: {servers: [zk1:2281], session_s: 4}}"
    assert loaded(*leased(store=store, lease_s="8")).policy.lease_s == 8


def test_which_node_a_daemon_is_beside_stands_in_its_entry(loaded: Loaded) -> None:
    assert beside_of(loaded(*leased())) == "mail-a"
    assert beside_of(loaded()) is None
