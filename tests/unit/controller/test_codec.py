"""Model values to JSON and back; what is wrong is named with its place."""

import json
from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, imap_and_smtp, policy_of

from mailward.controller.codec import PAUSE, REQUEST, SNAPSHOT, STATE
from mailward.model.errors import StoreError
from mailward.model.orders import KickReplication, OrderPorts, Publish, Verify
from mailward.model.state import SCHEMA, Pause, RequestKind


def busy() -> Scene:
    """A scene with something in every field."""
    scene = Scene.settled(policy_of(("a", "b", "c"), imap_and_smtp(("a", "b", "c"))))
    scene.ask(RequestKind.DRAIN, "c")
    scene.down("a", "imaps", for_s=5)
    scene.run(30)
    scene.lag("a", "b", None)
    scene.disk("b", 0)
    scene.paused()
    scene.answers = dict.fromkeys(("publish", "order-ports", "verify", "kick-replication"))
    scene.ask(RequestKind.READMIT, "a", force=True)
    scene.step()
    return scene


def test_a_snapshot_can_be_written_down_and_read_again() -> None:
    """Also one of a controller whose right to act has no end."""
    snapshot = busy().snapshot()
    assert snapshot.may_act_until_s == float("inf")
    raw = SNAPSHOT.dump(snapshot)
    assert SNAPSHOT.load(raw, "x") == snapshot
    assert SNAPSHOT.dump(SNAPSHOT.load(raw, "x")) == raw


def test_a_state_can_be_written_down_and_read_again() -> None:
    state = busy().state
    assert STATE.load(STATE.dump(state), "x") == state


@pytest.mark.parametrize("kind", [Publish, Verify, OrderPorts, KickReplication])
def test_every_action_comes_back_as_what_it_was(kind: type) -> None:
    scene = Scene.settled()
    scene.answers = {kind.__dataclass_fields__["kind"].default: None}  # type: ignore[attr-defined]
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    if kind is KickReplication:
        scene.lag("b", "a", None)
        scene.up("a", for_s=60)
        scene.settle()
    (order, *_) = STATE.load(STATE.dump(scene.state), "x").orders
    assert isinstance(order.action, kind)
    assert order == scene.state.orders[0]


def test_requests_and_pauses_come_back() -> None:
    scene = Scene()
    request = scene.ask(RequestKind.FAILOVER, "a", reason="dovecot \N{SNOWMAN}")
    assert REQUEST.load(REQUEST.dump(request), "x") == request
    pause = Pause("ann", "", scene.now, float("inf"))
    assert PAUSE.load(PAUSE.dump(pause), "x") == pause


GOOD = json.loads(STATE.dump(Scene.settled().state))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"epoch": "7"}, "epoch: Input should be a valid integer"),
        ({"epoch": 1.5}, "epoch: "),
        ({"epoch": None}, "epoch: "),
        ({"store_id": 7}, "store_id: "),
        ({"phases": {}}, "phases: "),
        ({"phases": [{}]}, "phases.0.node: Field required"),
        ({"phases": [{**GOOD["phases"][0], "phase": "asleep"}]}, "phases.0.phase: "),
        ({"orders": [{"token": "x"}]}, "orders.0.token: "),
        ({"operation": "none"}, "operation: "),
        ({"tallies": {"x": "1"}}, "tallies.x: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, object], place: str) -> None:
    raw = json.dumps({**GOOD, **change}).encode()
    with pytest.raises(StoreError) as error:
        STATE.load(raw, "/var/lib/x/state.json")
    assert str(error.value).startswith(f"/var/lib/x/state.json holds no valid State: {place}")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 10_000, b'{"epoch": 1}'])
def test_what_is_no_state_at_all_is_an_error_and_not_a_crash(raw: bytes) -> None:
    with pytest.raises(StoreError, match="x holds no valid State: "):
        STATE.load(raw, "x")


def test_the_content_of_a_broken_document_is_not_repeated() -> None:
    with pytest.raises(StoreError) as error:
        REQUEST.load(b'{"id": ["hunter2"]}', "x")
    assert "hunter2" not in str(error.value)


def test_a_document_of_a_newer_writer_is_known_by_its_number_alone() -> None:
    raw = json.dumps({"min_writer": SCHEMA + 1, "unheard": "of"}).encode()
    with pytest.raises(StoreError, match=r"it needs schema 2, this one writes 1\): upgrade this daemon"):
        STATE.load(raw, "x")


def test_a_newer_document_that_we_may_still_write_is_read() -> None:
    """Fields we do not know are left out; its writer said that this is all right."""
    raw = json.dumps({**GOOD, "schema": SCHEMA + 1, "min_writer": SCHEMA, "unheard": "of"}).encode()
    assert STATE.load(raw, "x").schema == SCHEMA + 1


def test_text_that_is_no_unicode_loses_what_is_not() -> None:
    request = Scene().ask(RequestKind.FAILOVER, "a", reason="caf\udce9")
    assert REQUEST.load(REQUEST.dump(request), "x").reason == "caf?"


def test_what_a_newer_version_has_added_survives_one_that_does_not_know_it() -> None:
    added = {"schema": SCHEMA + 1, "leases": {"a": [1, None]}}
    newer = json.loads(STATE.dump(busy().state)) | added
    state = STATE.load(json.dumps(newer).encode(), "x")
    decided = replace(state, seq=state.seq + 1)
    assert json.loads(STATE.dump(decided)) == newer | {"seq": state.seq + 1}
