"""A full disk or a damaged record: closing is obeyed, opening is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CLOSED: dict[str, Any] = {"smtp": "closed", "imaps": "closed"}
OPEN: dict[str, Any] = {"smtp": "open", "imaps": "open"}
HALF: dict[str, Any] = {"smtp": "open", "imaps": "closed"}


def test_closing_is_obeyed_on_a_full_disk_and_says_so(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", OPEN)
    node.memory.disk_full = True
    assert not node.order("abcdef01.1.2", CLOSED).persisted
    assert node.closed == (25, 993)
    with refused_with("stale", "abcdef01.1.2"):  # /run remembers what the disk could not
        node.order("abcdef01.1.2", OPEN)


def test_closing_is_obeyed_where_nothing_at_all_can_be_written(node: Any) -> None:
    node.memory.disk_full = node.memory.run_full = True
    assert not node.order("abcdef01.1.1", CLOSED).persisted
    assert node.closed == (25, 993)


def test_opening_is_refused_on_a_full_disk_and_nothing_is_changed(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    node.memory.disk_full = True
    with refused_with("not-persisted", "No space left on device"):
        node.order("abcdef01.1.2", OPEN)
    assert node.closed == (25, 993)
    assert node.token == "abcdef01.1.1"


def test_opening_a_part_is_refused_on_a_full_disk_and_the_closed_part_stays(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", CLOSED)
    node.memory.disk_full = True
    with refused_with("not-persisted"):
        node.order("abcdef01.1.2", HALF)
    assert node.closed == (25, 993)


def test_a_map_that_opens_nothing_is_obeyed_on_a_full_disk(node: Any) -> None:
    node.order("abcdef01.1.1", OPEN)
    node.memory.disk_full = True
    node.order("abcdef01.1.2", HALF)
    assert node.closed == (993,)


def test_opening_works_again_with_room_on_the_disk(node: Any) -> None:
    node.memory.disk_full = True
    node.order("abcdef01.1.1", CLOSED)
    node.memory.disk_full = False
    assert node.order("abcdef01.1.2", OPEN).persisted
    assert node.closed == ()


def test_a_claim_on_a_full_disk_holds_until_the_reboot_and_says_so(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    node.memory.disk_full = True
    assert not node.claim("abcdef01.2.0").persisted
    with refused_with("stale"):
        node.order("abcdef01.1.2", OPEN)


def test_a_claim_that_can_be_kept_nowhere_is_refused(node: Any, refused_with: Any) -> None:
    node.memory.disk_full = node.memory.run_full = True
    with refused_with("not-persisted", "nowhere"):
        node.claim("abcdef01.1.0")


def damage(path: str) -> None:
    file = Path(path)
    file.write_bytes(file.read_bytes().replace(b"closed", b"opened", 1))


def test_a_damaged_record_refuses_to_open_until_a_higher_order_has_closed(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", CLOSED)
    node.reboot()
    damage(node.memory.disk)
    with refused_with("damaged", "state.json is damaged", "ports are left as they are"):
        node.orders.restore()
    node.order("abcdef01.1.5", CLOSED)
    node.order("abcdef01.1.6", OPEN)
    assert node.closed == ()


def test_a_damaged_disk_beside_a_sound_run_refuses_to_open(node: Any, refused_with: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    damage(node.memory.disk)
    with refused_with("stale", "abcdef01.1.1"):
        node.order("abcdef01.1.1", CLOSED)
    with refused_with("damaged", "until a closing order or a claim"):
        node.order("abcdef01.1.2", OPEN)
    assert node.closed == (25, 993)


def test_where_no_record_can_be_read_nothing_is_opened(node: Any, refused_with: Any) -> None:
    """What was closed, and by whose order, is unknown then: even another store's could open it."""
    node.order("abcdef01.1.1", CLOSED)
    damage(node.memory.disk)
    damage(node.memory.run)
    with refused_with("damaged", "until a closing order or a claim"):
        node.order("12345678.1.2", OPEN)
    assert node.closed == (25, 993)


def test_a_claim_mends_a_damaged_record(node: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    damage(node.memory.disk)
    node.claim("abcdef01.2.0")
    node.order("abcdef01.2.1", OPEN)
    assert node.closed == ()


def test_a_crash_between_closing_and_the_disk_leaves_the_order_remembered(node: Any) -> None:
    """The disk hangs for ever, the process is killed; what closed is not forgotten."""
    node.order("abcdef01.1.1", OPEN)
    seen: list[tuple[Any, str]] = []

    def killed(record: Any) -> str:
        seen.append((node.closed, node.token))
        return "killed"

    node.memory.keep_on_disk = killed
    node.order("abcdef01.1.2", CLOSED)
    assert seen == [((25, 993), "abcdef01.1.2")]


def test_what_opens_is_on_disk_before_the_ports_open(node: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    seen: list[str] = []

    def applied(plan: Any) -> str:
        seen.append(Path(node.memory.disk).read_text())
        return ""

    node.firewall.apply = applied
    node.order("abcdef01.1.2", OPEN)
    assert "abcdef01.1.2" in seen[0]


def test_root_opens_by_hand_whatever_the_record_is_like(node: Any) -> None:
    node.order("abcdef01.1.1", CLOSED)
    damage(node.memory.disk)
    damage(node.memory.run)
    assert not node.orders.by_hand("open", "mail is down").persisted
    assert node.closed == ()
    assert node.memory.read().damage


def test_what_root_did_by_hand_keeps_the_token_and_lasts_until_the_next_order(
    node: Any, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", CLOSED)
    assert node.orders.by_hand("open", "mail is down").record.forced == "mail is down"
    node.reboot()
    node.orders.restore()
    assert node.closed == ()
    with refused_with("stale"):
        node.order("abcdef01.1.1", CLOSED)
    assert node.order("abcdef01.1.2", CLOSED).record.forced is None
    assert node.closed == (25, 993)
