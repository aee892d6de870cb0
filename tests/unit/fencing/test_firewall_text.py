"""The rules as text, and the closed ports read back from a listing."""

from __future__ import annotations

from typing import Any

import pytest

from mailward.fencing.node import iptables, nftables
from mailward.fencing.node.firewall import Plan
from mailward.fencing.node.sessions import expression

PLAN = Plan((25, 993), ("192.0.2.12/32", "2001:db8::/64"))

RULESET = """\
table inet mailward
delete table inet mailward
table inet mailward {
  set closed {
    type inet_service
    elements = { 25, 993 }
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iif "lo" accept
    ip saddr 192.0.2.12/32 tcp dport 25 accept
    ip6 saddr 2001:db8::/64 tcp dport 25 accept
    tcp dport @closed reject with tcp reset
  }
  chain output {
    type filter hook output priority filter - 10; policy accept;
    oif "lo" accept
    ip daddr 192.0.2.12/32 tcp sport 25 accept
    ip6 daddr 2001:db8::/64 tcp sport 25 accept
    tcp sport @closed tcp flags & rst == 0 reject with tcp reset
  }
}
"""


def test_the_nft_transaction_replaces_our_table_and_names_no_other_port() -> None:
    assert nftables.ruleset(PLAN) == RULESET


def test_an_open_map_is_a_set_without_elements() -> None:
    assert "elements" not in nftables.ruleset(Plan((), ()))


def listing(**changed: Any) -> list[dict[str, Any]]:
    """`nft -j list ruleset inet` of the ruleset above, as nft 1.0.6 prints it (shortened)."""

    def rule(chain: str, field: str, end: Any) -> dict[str, Any]:
        left = {"payload": {"protocol": "tcp", "field": field}}
        match = {"match": {"op": "==", "left": left, "right": "@closed"}}
        return {"rule": {"family": "inet", "table": "mailward", "chain": chain, "expr": [match, end]}}

    reset = {"reject": {"type": "tcp reset"}}
    ours = {"family": "inet", "table": "mailward"}
    parts: dict[str, Any] = {
        "version": {"metainfo": {"version": "1.0.6"}},
        "table": {"table": {"family": "inet", "name": "mailward"}},
        "foreign": {"set": {"family": "inet", "table": "other", "name": "closed", "elem": [22]}},
        "set": {"set": {**ours, "name": "closed", "elem": [25, 993]}},
        "input": {"chain": {**ours, "name": "input", "hook": "input"}},
        "output": {"chain": {**ours, "name": "output", "hook": "output"}},
        "in_rule": rule("input", "dport", reset),
        "out_rule": rule("output", "sport", reset),
    }
    return [part for part in (parts | changed).values() if part]


def test_the_closed_ports_are_read_back() -> None:
    assert nftables.refused_in(listing()) == {25, 993}


@pytest.mark.parametrize("gone", ["set", "input", "output", "in_rule", "out_rule"])
def test_a_table_with_a_part_missing_closes_nothing(gone: str) -> None:
    assert nftables.refused_in(listing(**{gone: None})) == frozenset()


def test_no_table_of_ours_closes_nothing() -> None:
    assert nftables.refused_in([{"metainfo": {}}]) == frozenset()


def test_the_iptables_rules_are_of_one_family_and_come_first() -> None:
    assert iptables.addition(PLAN, 6) == [
        "-N MAILWARD-IN",
        "-N MAILWARD-OUT",
        "-A MAILWARD-IN -i lo -j RETURN",
        "-A MAILWARD-OUT -o lo -j RETURN",
        "-A MAILWARD-IN -s 2001:db8::/64 -p tcp -m tcp --dport 25 -j RETURN",
        "-A MAILWARD-OUT -d 2001:db8::/64 -p tcp -m tcp --sport 25 -j RETURN",
        "-A MAILWARD-IN -p tcp -m tcp --dport 25 -j REJECT --reject-with tcp-reset",
        "-A MAILWARD-OUT -p tcp -m tcp --sport 25 ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset",
        "-A MAILWARD-IN -p tcp -m tcp --dport 993 -j REJECT --reject-with tcp-reset",
        "-A MAILWARD-OUT -p tcp -m tcp --sport 993 ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset",
        "-I INPUT 1 -j MAILWARD-IN",
        "-I OUTPUT 1 -j MAILWARD-OUT",
    ]


LISTED = [
    "-P INPUT ACCEPT",
    "-N MAILWARD-IN",
    "-N MAILWARD-OUT",
    "-N f2b-sshd",
    "-A INPUT -j MAILWARD-IN",
    "-A INPUT -p tcp -j f2b-sshd",
    "-A OUTPUT -j MAILWARD-OUT",
    *iptables.addition(PLAN, 4)[2:-2],
]


def test_iptables_rules_are_taken_away_whole_and_others_are_left() -> None:
    assert iptables.removal(LISTED) == [
        "-D INPUT -j MAILWARD-IN",
        "-D OUTPUT -j MAILWARD-OUT",
        "-F MAILWARD-IN",
        "-F MAILWARD-OUT",
        "-X MAILWARD-IN",
        "-X MAILWARD-OUT",
    ]
    assert iptables.removal(["-P INPUT ACCEPT"]) == []


def test_the_closed_ports_of_iptables_are_read_back() -> None:
    assert iptables.refused_in(LISTED) == {25, 993}


@pytest.mark.parametrize("index", [4, 6, -1, -3])
def test_iptables_with_a_part_missing_does_not_close_what_it_was_for(index: int) -> None:
    damaged = [line for line in LISTED if line != LISTED[index]]
    assert iptables.refused_in(damaged) < {25, 993}


def test_sessions_of_peers_are_spared_on_port_25_and_of_loopback_everywhere() -> None:
    local = "not dst 127.0.0.0/8 and not dst [::1/128]"
    assert expression(PLAN) == [
        f"( ( sport = :25 and {local} and not dst 192.0.2.12/32 and not dst [2001:db8::/64] )"
        f" or ( sport = :993 and {local} ) )"
    ]
