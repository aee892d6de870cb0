"""A node of a cluster opens nothing by itself when it boots: another one may have been promoted meanwhile."""

from typing import Any

import pytest

from mailward.fencing.node import status
from mailward.fencing.node.screen import lines

OPEN = {"smtp": "open", "imaps": "open"}
CLOSED = {"smtp": "closed", "imaps": "closed"}
ALL = (25, 993)


@pytest.fixture
def booting(node: Any) -> Any:
    node.config = node.config._replace(boot="closed")
    return node


def test_what_was_open_is_closed_until_the_next_order(booting: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    restored = booting.orders.restore()
    assert restored.held
    assert restored.record.ports == OPEN  # as recorded: `status` tells that the kernel shows something else
    assert booting.closed == ALL
    booting.order("abcdef01.1.2", OPEN)
    assert booting.closed == ()


def test_a_claim_alone_does_not_open_it(booting: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    booting.orders.restore()
    booting.claim("abcdef01.1.2")
    assert booting.closed == ALL


def test_one_that_is_claimed_before_its_ports_are_restored_is_closed_all_the_same(booting: Any) -> None:
    """A leader claims it as soon as its SSH answers, and that may be before."""
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    booting.claim("abcdef01.1.2")
    assert booting.orders.restore().held
    assert booting.closed == ALL


def test_one_that_was_claimed_since_stays_closed_when_its_firewall_is_mended(booting: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    booting.orders.restore()
    booting.claim("abcdef01.1.2")
    assert booting.orders.restore().held
    assert booting.closed == ALL
    booting.order("abcdef01.1.3", OPEN)
    assert not booting.orders.restore().held
    assert booting.closed == ()


def test_a_claim_of_one_that_booted_closed_outlives_it_or_is_refused(booting: Any, refused_with: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    booting.claim("abcdef01.1.2")
    booting.reboot()
    with refused_with("stale"):
        booting.order("abcdef01.1.2", OPEN)


def test_a_claim_of_one_that_booted_closed_is_refused_on_a_full_disk(booting: Any, refused_with: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    booting.memory.disk_full = True
    with refused_with("not-persisted", "No space left on device; nothing was ordered since it booted"):
        booting.claim("abcdef01.1.2")


def test_one_that_was_never_ordered_is_not_closed_by_a_claim_and_a_restore(booting: Any) -> None:
    booting.claim("abcdef01.1.1")
    assert booting.orders.restore() is None
    assert booting.closed == ()


def test_one_that_has_never_obeyed_is_left_open(booting: Any) -> None:
    assert booting.orders.restore() is None
    assert booting.closed == ()


def test_one_that_was_only_claimed_is_closed(booting: Any) -> None:
    booting.claim("abcdef01.1.1")
    booting.reboot()
    assert booting.orders.restore().held
    assert booting.closed == ALL


def test_to_restore_without_a_boot_changes_nothing(booting: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    assert not booting.orders.restore().held
    assert booting.closed == ()


def test_a_damaged_memory_opens_nothing_either(booting: Any, refused_with: Any) -> None:
    booting.order("abcdef01.1.1", OPEN)
    booting.reboot()
    with open(booting.memory.disk, "w", encoding="utf-8") as file:
        file.write("{")
    with refused_with("damaged", "closed until the next order"):
        booting.orders.restore()
    assert booting.closed == ALL


def test_elsewhere_it_boots_as_it_was_ordered(node: Any) -> None:
    node.order("abcdef01.1.1", OPEN)
    node.reboot()
    assert not node.orders.restore().held
    assert node.closed == ()


@pytest.mark.parametrize(
    ("boot", "told"),
    [
        ("as-ordered", "boot      as ordered last, also what is open"),
        ("closed", "boot      closed, until the controller's next order"),
    ],
)
def test_the_status_tells_how_the_node_boots(
    node: Any, monkeypatch: pytest.MonkeyPatch, boot: str, told: str
) -> None:
    monkeypatch.setattr(status, "choose", lambda: node.firewall)
    found = status.collect(node.config._replace(boot=boot), node.memory)
    assert found["boot"] == boot
    assert told in lines(found)
