"""The rules as text, and the closed ports read back from a listing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mailward.fencing.node import iptables, nftables
from mailward.fencing.node.commands import Ran
from mailward.fencing.node.firewall import Plan, Shown
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
  set held {
    type inet_service
  }
  set leased {
    type inet_service
    flags timeout
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iif "lo" accept
    ip saddr 192.0.2.12/32 tcp dport 25 accept
    ip6 saddr 2001:db8::/64 tcp dport 25 accept
    tcp dport @closed reject with tcp reset
    tcp dport @held tcp dport != @leased reject with tcp reset
  }
  chain output {
    type filter hook output priority filter - 10; policy accept;
    oif "lo" accept
    ip daddr 192.0.2.12/32 tcp sport 25 accept
    ip6 daddr 2001:db8::/64 tcp sport 25 accept
    tcp sport @closed tcp flags & rst == 0 reject with tcp reset
    tcp sport @held tcp sport != @leased tcp flags & rst == 0 reject with tcp reset
  }
}
"""


def test_the_nft_transaction_replaces_our_table_and_names_no_other_port() -> None:
    assert nftables.ruleset(PLAN) == RULESET


def test_an_open_map_is_a_set_without_elements() -> None:
    assert "elements" not in nftables.ruleset(Plan((), ()))


def listing(**changed: Any) -> list[dict[str, Any]]:
    """`nft -j list table inet mailward` of the ruleset above, as nft 1.0.6 prints it (shortened)."""

    def rule(chain: str, field: str, *lookups: tuple[str, str]) -> dict[str, Any]:
        left = {"payload": {"protocol": "tcp", "field": field}}
        matches = [{"match": {"op": op, "left": left, "right": right}} for op, right in lookups]
        expr = [*matches, {"reject": {"type": "tcp reset"}}]
        return {"rule": {"family": "inet", "table": "mailward", "chain": chain, "expr": expr}}

    def element(port: int, left_s: int) -> dict[str, Any]:
        return {"elem": {"val": port, "timeout": 30, "expires": left_s}}

    closed, leased = ("==", "@closed"), [("==", "@held"), ("!=", "@leased")]
    ours = {"family": "inet", "table": "mailward"}
    parts: dict[str, Any] = {
        "version": {"metainfo": {"version": "1.0.6"}},
        "table": {"table": {"family": "inet", "name": "mailward"}},
        "foreign": {"set": {"family": "inet", "table": "other", "name": "closed", "elem": [22]}},
        "set": {"set": {**ours, "name": "closed", "elem": [25, 993]}},
        "held": {"set": {**ours, "name": "held", "elem": [143, 587]}},
        "leased": {"set": {**ours, "name": "leased", "elem": [element(143, 21), element(587, 20)]}},
        "input": {"chain": {**ours, "name": "input", "hook": "input"}},
        "output": {"chain": {**ours, "name": "output", "hook": "output"}},
        "in_rule": rule("input", "dport", closed),
        "out_rule": rule("output", "sport", closed),
        "in_lease": rule("input", "dport", *leased),
        "out_lease": rule("output", "sport", *leased),
    }
    return [part for part in (parts | changed).values() if part]


def test_the_closed_and_the_leased_ports_are_read_back() -> None:
    assert nftables.shown_in(listing()) == Shown(frozenset({25, 993}), frozenset({143, 587}), 20)


@pytest.mark.parametrize("gone", ["set", "input", "output", "in_rule", "out_rule"])
def test_a_table_with_a_part_missing_closes_nothing(gone: str) -> None:
    assert nftables.shown_in(listing(**{gone: None})).closed == frozenset()


@pytest.mark.parametrize("gone", ["held", "leased", "input", "output", "in_lease", "out_lease"])
def test_a_table_with_a_part_missing_holds_nothing_to_its_lease(gone: str) -> None:
    shown = nftables.shown_in(listing(**{gone: None}))
    assert (shown.held, shown.left_s) == (frozenset(), None)


def test_a_lease_has_lapsed_as_soon_as_one_of_its_ports_has() -> None:
    ours = {"family": "inet", "table": "mailward", "name": "leased"}
    one = {"set": {**ours, "elem": [{"elem": {"val": 143, "timeout": 30, "expires": 21}}]}}
    assert nftables.shown_in(listing(leased=one)).left_s == 0


def test_no_table_of_ours_closes_nothing() -> None:
    assert nftables.shown_in([{"metainfo": {}}]) == Shown()


@pytest.mark.parametrize(
    ("table", "tables", "shown"),
    [
        (Ran(0, json.dumps({"nftables": listing()}), ""), None,
         Shown(frozenset({25, 993}), frozenset({143, 587}), 20)),
        (Ran(1, "", "No such file or directory"), Ran(0, "table inet filter\n", ""), Shown()),
        (Ran(1, "", "No such file or directory"), Ran(0, "", ""), Shown()),
        (Ran(1, "", "Operation not permitted"), Ran(1, "", "Operation not permitted"), None),
        (Ran(1, "", "busy"), Ran(0, "table inet filter\ntable inet mailward\n", ""), None),
        (Ran(None, "", "no end within 2 s"), Ran(0, "", ""), None),
        (Ran(0, "{", ""), Ran(0, "", ""), None),
    ],
)  # fmt: skip
def test_only_our_table_is_read_back_and_none_is_said_where_there_is_none(
    table: Ran, tables: Ran | None, shown: Shown | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"nft -j list table inet mailward": table, "nft list tables inet": tables}

    def run(argv: Sequence[str], stdin: str = "", timeout_s: float = 0.0) -> Ran:
        ran = said[" ".join(argv)]
        assert ran is not None
        return ran

    monkeypatch.setattr(nftables, "run", run)
    assert nftables.Nftables().shown() == shown


LEASED = Plan((25,), (), (587, 993), 7.5)


def test_a_lease_is_loaded_with_its_elements_and_renewed_only_while_they_live() -> None:
    rules = nftables.ruleset(LEASED)
    assert "elements = { 587, 993 }" in rules
    assert "flags timeout\n    elements = { 587 timeout 7500ms, 993 timeout 7500ms }" in rules
    assert nftables.renewal(LEASED) == (
        "delete element inet mailward leased { 587, 993 }\n"
        "add element inet mailward leased { 587 timeout 7500ms, 993 timeout 7500ms }\n"
    )


def test_a_lapsed_lease_is_loaded_without_elements_and_its_sessions_are_ended() -> None:
    lapsed = LEASED._replace(lease_s=None)
    assert "timeout 7500ms" not in nftables.ruleset(lapsed)
    assert [f"sport = :{port}" in expression(lapsed)[0] for port in (25, 587, 993)] == [True] * 3
    assert "587" not in expression(LEASED)[0]


def test_iptables_refuses_what_was_leased() -> None:
    lines = iptables.addition(LEASED._replace(lease_s=None), 4)
    assert [
        port for port in (25, 587, 993) if any(f"--dport {port} -j REJECT" in line for line in lines)
    ] == [
        25,
        587,
        993,
    ]


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
