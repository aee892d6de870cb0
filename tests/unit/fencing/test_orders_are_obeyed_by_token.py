"""Only a strictly higher token of the same store is obeyed, across processes and reboots."""

from __future__ import annotations

from typing import Any

import pytest

CLOSED: dict[str, Any] = {"smtp": "closed", "imaps": "closed"}
OPEN: dict[str, Any] = {"smtp": "open", "imaps": "open"}


def test_the_first_token_pins_the_store_and_closes(node: Any) -> None:
    obeyed = node.order("abcdef01.0.0", CLOSED)
    assert obeyed.persisted
    assert node.closed == (25, 993)
    assert node.memory.read().record.store == "abcdef01"


@pytest.mark.parametrize("token", ["abcdef01.2.5", "abcdef01.2.4", "abcdef01.1.9", "abcdef01.0.0"])
def test_an_equal_or_lower_token_is_stale_and_both_are_named(
    node: Any, refused_with: Any, token: str
) -> None:
    node.order("abcdef01.2.5", CLOSED)
    with refused_with("stale", token, "abcdef01.2.5"):
        node.order(token, OPEN)
    with refused_with("stale", token, "abcdef01.2.5"):
        node.claim(token)
    assert node.closed == (25, 993)


@pytest.mark.parametrize("token", ["abcdef01.2.6", "abcdef01.3.0", "abcdef01.10.0"])
def test_a_higher_seq_or_epoch_is_obeyed(node: Any, token: str) -> None:
    node.order("abcdef01.2.5", CLOSED)
    node.order(token, OPEN)
    assert node.closed == ()
    assert node.token == token


def test_a_foreign_store_is_refused_however_high_and_both_are_named(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    with refused_with("foreign", "beefbeef.99.99", "beefbeef", "abcdef01", "adopt beefbeef --force"):
        node.order("beefbeef.99.99", OPEN)
    with refused_with("foreign"):
        node.claim("beefbeef.99.99")
    assert node.closed == (25, 993)


def test_an_order_that_is_late_does_nothing_even_with_a_higher_token(node: Any, refused_with: Any) -> None:
    with refused_with("late"):
        node.order("abcdef01.1.1", CLOSED, window_s=0.0)
    assert node.closed == ()
    assert node.token == "None"


def test_a_claim_makes_older_orders_void_and_changes_no_port(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    assert node.claim("abcdef01.2.0").record.ports == CLOSED
    with refused_with("stale"):
        node.order("abcdef01.1.2", OPEN)
    assert node.closed == (25, 993)


def test_a_claim_on_a_new_node_leaves_it_without_a_map(node: Any) -> None:
    assert node.claim("abcdef01.1.0").record.ports is None
    assert node.firewall.plan is None


def test_the_token_and_the_map_survive_a_reboot(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.7", {"smtp": "open", "imaps": "closed"})
    node.reboot()
    assert node.orders.restore().record.ports == {"smtp": "open", "imaps": "closed"}
    assert node.closed == (993,)
    with refused_with("stale"):
        node.order("abcdef01.1.6", OPEN)


def test_restore_without_any_order_leaves_all_open(node: Any) -> None:
    assert node.orders.restore() is None
    assert node.firewall.plan is None


def test_a_map_must_name_every_service_and_no_other(node: Any, refused_with: Any) -> None:
    with refused_with("bad-request", "missing: smtp"):
        node.order("abcdef01.1.1", {"imaps": "closed"})
    with refused_with("unknown-service", "'pop3s'", "imaps, smtp"):
        node.order("abcdef01.1.1", {**CLOSED, "pop3s": "closed"})
    with refused_with("bad-request", "imaps: detour is not supported by this helper"):
        node.order("abcdef01.1.1", {"smtp": "closed", "imaps": {"detoured": "192.0.2.2"}})
    assert node.token == "None"


def test_a_firewall_that_fails_is_an_error_and_the_token_is_spent(node: Any, refused_with: Any) -> None:
    node.firewall.broken = "nft: Operation not permitted"
    with refused_with("firewall", "Operation not permitted"):
        node.order("abcdef01.1.1", CLOSED)
    with refused_with("stale"):
        node.order("abcdef01.1.1", CLOSED)
    node.firewall.broken = ""
    node.reboot()
    node.orders.restore()
    assert node.closed == (25, 993)


def test_sessions_are_ended_for_each_plan_that_was_applied(node: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    assert [plan.closed for plan in node.ended] == [(25, 993)]


def test_a_service_configured_since_is_closed_where_all_others_are(node: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    node.config = node.config._replace(services={**node.config.services, "submission": 587})
    node.orders.restore()
    assert node.closed == (25, 587, 993)
    node.order("abcdef01.1.2", {"smtp": "open", "imaps": "closed", "submission": "open"})
    node.config = node.config._replace(services={**node.config.services, "sieve": 4190})
    node.orders.restore()
    assert node.closed == (993,)


def test_another_store_is_obeyed_after_adopting_it_and_the_old_one_no_longer(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.9.9", CLOSED)
    node.orders.adopt("beefbeef")
    assert node.closed == (25, 993)
    with refused_with("foreign"):
        node.order("abcdef01.10.0", OPEN)
    node.order("beefbeef.0.0", OPEN)
    assert node.closed == ()
