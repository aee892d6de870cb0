"""A lease: renewed by the highest token while it runs, and by nothing once it has lapsed."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.fencing.conftest import FakeFirewall

from mailward.fencing.node import protocol, status
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.memory import decode, encode
from mailward.fencing.node.orders import Orders
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.screen import lines
from mailward.fencing.node.token import parse_token

CLOSED: dict[str, Any] = {"smtp": "closed", "imaps": "closed"}
OPEN: dict[str, Any] = {"smtp": "open", "imaps": "open"}
HALF: dict[str, Any] = {"smtp": "closed", "imaps": "open"}


def test_what_a_leased_order_opens_is_held_and_what_it_closes_is_closed(node: Any) -> None:
    assert node.order("abcdef01.1.1", HALF, lease_s=30.0).record.lease_s == 30.0
    assert node.firewall.plan[:1] + node.firewall.plan[2:] == ((25,), (993,), 30.0)
    node.order("abcdef01.1.2", OPEN)
    assert node.firewall.plan[2:] == ((), None)


def test_a_lease_is_renewed_by_the_token_that_is_the_highest(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.2", OPEN, lease_s=30.0)
    node.firewall.left_s = 3
    assert node.renew("abcdef01.1.2").record.ports == OPEN
    assert node.firewall.left_s == 30
    for token in ("abcdef01.1.1", "abcdef01.0.9"):
        with refused_with("stale", token, "abcdef01.1.2"):
            node.renew(token)
    with refused_with("unordered", "abcdef01.1.3", "never obeyed here"):
        node.renew("abcdef01.1.3")
    with refused_with("foreign"):
        node.renew("beefbeef.1.2")
    assert node.token == "abcdef01.1.2"


def test_whoever_claims_renews_and_the_one_before_no_longer(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.2", OPEN, lease_s=30.0)
    node.claim("abcdef01.2.0")
    node.firewall.left_s = 3
    with refused_with("stale"):
        node.renew("abcdef01.1.2")
    node.renew("abcdef01.2.0")
    assert node.firewall.left_s == 30


def test_a_lease_that_has_lapsed_is_not_renewed_but_ordered_anew(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.left_s = 0
    with refused_with("lapsed", "only a new order"):
        node.renew("abcdef01.1.1")
    assert node.closed == (25, 993)
    node.order("abcdef01.1.2", OPEN, lease_s=30.0)
    assert node.closed == ()


def test_a_renewal_of_rules_that_are_gone_is_a_failure_of_the_firewall(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.plan = None
    with refused_with("firewall", "No such file"):
        node.renew("abcdef01.1.1")


def test_where_nothing_is_open_under_a_lease_nothing_is_renewed(node: Any, refused_with: Any) -> None:
    with refused_with("unordered", "None"):
        node.renew("abcdef01.1.1")
    node.order("abcdef01.1.1", OPEN)
    with refused_with("not-leased"):
        node.renew("abcdef01.1.1")
    node.order("abcdef01.1.2", CLOSED, lease_s=30.0)
    with refused_with("not-leased"):
        node.renew("abcdef01.1.2")


def test_a_renewal_that_is_late_is_void(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.left_s = 3
    with refused_with("late"):
        node.renew("abcdef01.1.1", window_s=0.0)
    assert node.firewall.left_s == 3


def test_the_firewall_has_the_rest_of_the_window_for_a_renewal_and_no_more(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.renew("abcdef01.1.1", window_s=1.5)
    assert 1.0 < node.firewall.renewed_within_s <= 1.5
    node.firewall.left_s, slow = 3, Orders(node.config, node.memory, lambda: late(node), node.ended.append)
    with refused_with("late"):
        slow.renew(parse_token("abcdef01.1.1"), Deadline(0.05))
    assert node.firewall.left_s == 3


def test_a_renewal_that_fails_while_the_lease_runs_is_no_lapse(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.broken = "nft: no end within 0.3 s"
    with refused_with("firewall", "no end within"):
        node.renew("abcdef01.1.1")


def late(node: Any) -> FakeFirewall:
    """To find out what works here takes as long as the window."""
    time.sleep(0.1)
    return node.firewall  # type: ignore[no-any-return]


def test_nothing_is_renewed_while_the_memory_is_damaged_until_a_claim_mends_it(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    Path(node.memory.disk).write_text("rubbish")
    with refused_with("damaged"):
        node.renew("abcdef01.1.1")
    node.claim("abcdef01.1.2")
    node.renew("abcdef01.1.2")


def test_a_firewall_without_leases_refuses_them_before_the_token_is_spent(
    node: Any, refused_with: Any
) -> None:
    node.firewall.leases = False
    with refused_with("unsupported", "nftables"):
        node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    assert (node.token, node.firewall.plan) == ("None", None)
    node.order("abcdef01.1.1", CLOSED, lease_s=30.0)  # closing needs none
    assert node.closed == (25, 993)


def test_a_renewal_on_a_node_that_has_lost_nftables_says_so(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.leases, node.firewall.broken = False, "iptables knows no leases"
    with refused_with("unsupported", "iptables"):
        node.renew("abcdef01.1.1")


def test_a_leased_map_is_restored_refused_and_stays_so_under_renewals(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", HALF, lease_s=30.0)
    node.reboot()
    restored = node.orders.restore()
    assert (restored.lapsed, restored.record.lease_s) == (True, 30.0)
    assert node.closed == (25, 993)
    with refused_with("lapsed"):
        node.renew("abcdef01.1.1")


def test_to_restore_while_the_lease_runs_changes_nothing(node: Any) -> None:
    """A package's script may start the unit again at any time."""
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.left_s = 7
    assert not node.orders.restore().lapsed
    assert (node.closed, node.firewall.left_s) == ((), 7)


def test_to_open_again_what_has_lapsed_it_must_be_remembered(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.memory.disk_full = True
    assert not node.order("abcdef01.1.2", OPEN, lease_s=30.0).persisted  # it opens nothing
    node.firewall.left_s = 0
    with refused_with("not-persisted"):
        node.order("abcdef01.1.3", OPEN, lease_s=30.0)
    assert node.closed == (25, 993)


def test_root_opens_under_no_lease(node: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    assert node.orders.by_hand("open", "mail is down").record.lease_s is None
    assert node.firewall.plan[2:] == ((), None)


def test_a_record_of_an_older_helper_has_no_lease(node: Any) -> None:
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    written = encode(node.memory.read().record)
    assert decode(written).lease_s == 30.0
    document = json.loads(written.partition(b"\n")[0])
    del document["lease_s"]
    body = json.dumps(document).encode()
    assert decode(body + b"\n%08x\n" % zlib.crc32(body)).lease_s is None


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (12, "lease     of 30 s, 12 s left"),
        (0, "lease     LAPSED: open ports are refused until the controller's next order"),
    ],
)
def test_status_tells_what_a_lease_has_left(
    node: Any, monkeypatch: pytest.MonkeyPatch, left_s: int, text: str
) -> None:
    monkeypatch.setattr(status, "choose", lambda: node.firewall)
    assert status.collect(node.config, node.memory)["lease"] is None
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    node.firewall.left_s = left_s
    facts = status.collect(node.config, node.memory)
    assert (facts["lease"], facts["applied"]) == ({"lease_s": 30.0, "left_s": left_s}, True)
    assert text in lines(facts)
    assert max(map(len, lines(facts))) <= 80
    node.firewall.plan = None
    facts = status.collect(node.config, node.memory)
    assert (facts["lease"], facts["applied"]) == ({"lease_s": 30.0, "left_s": None}, False)


def request(**fields: object) -> Any:
    order = {"nonce": "n", "do": "ports", "token": "abcdef01.1.1", "ports": OPEN, **fields}
    return protocol.parse_request(json.dumps(order).encode(), "n")


def test_an_order_may_name_its_lease() -> None:
    assert request(lease_s=10).terms.lease_s == 10.0
    assert request().terms.lease_s is None


@pytest.mark.parametrize("lease_s", [0.9, 3601, 0, -1, True, "10", None, [], 1e999])
def test_a_lease_is_a_number_of_seconds_within_bounds(lease_s: object) -> None:
    with pytest.raises(Refused, match=r"lease_s: .* is not a number of 1 to 3600 seconds") as caught:
        request(lease_s=lease_s)
    assert caught.value.code == "bad-request"
