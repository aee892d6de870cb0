"""The admin's own commands: before ports open and after they have closed, verified, and with a deadline."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node import protocol, work, writers
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import HookCommands, Unit
from mailward.fencing.node.hooks import run_hook
from mailward.fencing.node.lock import held
from mailward.fencing.node.refusal import Refused

CLOSED: dict[str, Any] = {"smtp": "closed", "imaps": "closed"}
OPEN: dict[str, Any] = {"smtp": "open", "imaps": "open"}
HALF: dict[str, Any] = {"smtp": "closed", "imaps": "open"}


class Hooked:
    """A node with hooks of one shell line each, and what was refused when they ran."""

    def __init__(self, node: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, self.log = node, folder / "log"
        self.closed_meanwhile: list[object] = []

        def seen(name: str, config: Any) -> Any:
            self.closed_meanwhile.append(node.closed)
            return run_hook(name, config)

        monkeypatch.setattr(work, "run_hook", seen)

    def has(self, name: str, command: str = "true", verify: str = "true", timeout_s: float = 20.0) -> None:
        def line(said: str, script: str) -> tuple[str, ...]:
            return ("sh", "-c", f"echo {said} >> {self.log}; {script}")

        hook = HookCommands(line(name, command), line(f"verify-{name}", verify), timeout_s)
        config = self.node.config
        self.node.config = config._replace(hooks={**config.hooks, name: hook})

    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def hooked(node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    node.order("abcdef01.1.0", CLOSED)
    return Hooked(node, tmp_path, monkeypatch)


def test_promoted_and_verified_before_the_ports_open(node: Any, hooked: Hooked) -> None:
    hooked.has("promote", "echo mounted", "echo it is there")
    answer = protocol.obeyed(node.order("abcdef01.1.1", OPEN, hook="promote", lease_s=30.0))
    assert answer["hook"] == {
        "name": "promote",
        "configured": True,
        "ran": True,
        "verified": True,
        "detail": "verify: exit code 0: it is there",
    }
    assert hooked.ran() == ["promote", "verify-promote"]
    assert (hooked.closed_meanwhile, node.closed) == ([(25, 993)], ())
    assert node.firewall.plan.lease_s == 30.0


def test_a_lease_begins_after_the_hook_and_is_not_renewed_before(
    node: Any, hooked: Hooked, refused_with: Any
) -> None:
    hooked.has("promote", "sleep 0.6")
    went = threading.Thread(
        target=lambda: node.order("abcdef01.1.1", OPEN, hook="promote", lease_s=30.0), daemon=True
    )
    went.start()
    while not hooked.ran():
        time.sleep(0.01)
    with refused_with("not-leased"):
        node.renew("abcdef01.1.1")
    assert node.closed == (25, 993)
    went.join(10)
    assert (node.closed, node.firewall.left_s) == ((), 30)
    node.firewall.left_s = 3
    node.renew("abcdef01.1.1")
    assert node.firewall.left_s == 30


@pytest.mark.parametrize(
    ("command", "verify", "ran", "detail"),
    [
        ("echo no disk; exit 3", "true", True, "command: exit code 3: no disk"),
        ("true", "echo not mounted >&2; exit 1", True, "verify: exit code 1: not mounted"),
        ("echo waiting; sleep 60", "true", False, "command: sh: no end within 0.5 s: waiting"),
        ("true", "sleep 60", True, "verify: sh: no end within"),
    ],
)
def test_ports_stay_closed_when_the_promotion_is_not_verified_and_the_token_is_spent(
    node: Any, hooked: Hooked, refused_with: Any, command: str, verify: str, ran: bool, detail: str
) -> None:
    hooked.has("promote", command, verify, timeout_s=0.5 if "sleep" in command + verify else 20.0)
    began = time.monotonic()
    with pytest.raises(Refused) as caught:
        node.order("abcdef01.1.1", OPEN, hook="promote")
    assert time.monotonic() - began < 5
    answer = protocol.refused(caught.value, node.memory.read().record)
    assert (answer["ok"], answer["error"], answer["token"]) == (False, "hook-failed", "abcdef01.1.1")
    assert (answer["hook"]["ran"], answer["hook"]["verified"]) == (ran, False)
    assert detail in answer["hook"]["detail"]
    assert (answer["ports"], node.closed) == (CLOSED, (25, 993))
    with refused_with("stale"):
        node.order("abcdef01.1.1", OPEN)
    node.reboot()
    node.orders.restore()
    assert node.closed == (25, 993)


def test_what_a_hook_says_is_bounded(node: Any, hooked: Hooked) -> None:
    hooked.has("promote", verify="seq 100000; echo the end")
    hook = node.order("abcdef01.1.1", OPEN, hook="promote").done.hook
    assert hook.verified
    assert hook.detail.endswith("99999 100000 the end")
    assert len(hook.detail) < 500


def test_a_hook_that_is_not_configured_has_nothing_to_do(node: Any, hooked: Hooked) -> None:
    nothing = {"configured": False, "ran": False, "verified": False, "detail": ""}
    answer = protocol.obeyed(node.order("abcdef01.1.1", OPEN, hook="promote"))
    assert (answer["hook"], node.closed) == ({"name": "promote", **nothing}, ())
    answer = protocol.obeyed(node.order("abcdef01.1.2", CLOSED, hook="demote"))
    assert (answer["hook"], node.closed) == ({"name": "demote", **nothing}, (25, 993))


def test_demoted_after_the_ports_have_closed_which_stands_when_it_fails(node: Any, hooked: Hooked) -> None:
    node.order("abcdef01.1.1", OPEN)
    hooked.has("demote", verify="exit 1")
    answer = protocol.obeyed(node.order("abcdef01.1.2", CLOSED, hook="demote"))
    assert (answer["ok"], answer["hook"]["verified"]) == (True, False)
    assert (hooked.closed_meanwhile, node.closed) == ([(25, 993)], (25, 993))
    hooked.has("demote")
    assert node.order("abcdef01.1.3", CLOSED, hook="demote").done.hook.verified


@pytest.mark.parametrize(
    ("ports", "terms", "message"),
    [
        (OPEN, {"hook": "demote"}, "demote: that is done only where every port is closed"),
        (HALF, {"hook": "demote"}, "demote: that is done only where every port is closed"),
        (CLOSED, {"hook": "promote", "stop": True}, "promote: not where writers are to be stopped"),
    ],
)
def test_terms_that_do_not_go_together_are_refused(
    node: Any, refused_with: Any, ports: dict[str, Any], terms: dict[str, Any], message: str
) -> None:
    with refused_with("bad-request", message):
        node.order("abcdef01.1.1", ports, **terms)
    assert node.token == "None"


def test_what_promotes_closes_nothing_that_would_have_to_wait(
    node: Any, hooked: Hooked, refused_with: Any
) -> None:
    node.order("abcdef01.1.1", OPEN)
    hooked.has("promote")
    with refused_with("bad-request", "promote: smtp must be closed by an order before"):
        node.order("abcdef01.1.2", HALF, hook="promote")
    assert (node.token, hooked.ran()) == ("abcdef01.1.1", [])
    node.order("abcdef01.1.2", CLOSED)
    node.order("abcdef01.1.3", HALF, hook="promote")
    assert node.closed == (25,)


def test_nothing_is_run_that_cannot_be_remembered(node: Any, hooked: Hooked, refused_with: Any) -> None:
    hooked.has("promote")
    node.memory.disk_full = True
    with refused_with("not-persisted"):
        node.order("abcdef01.1.1", OPEN, hook="promote")
    assert (hooked.ran(), node.token) == ([], "abcdef01.1.0")


@pytest.mark.parametrize("what", ["order", "claim", "by hand", "adopt"])
def test_ports_do_not_open_after_a_promotion_that_was_overtaken(
    node: Any, hooked: Hooked, tmp_path: Path, what: str
) -> None:
    """Neither the next order nor root waits for the hook."""
    gate = tmp_path / "gate"
    hooked.has("promote", f"until [ -e {gate} ]; do sleep 0.02; done")
    said: list[str] = []

    def promote() -> None:
        with pytest.raises(Refused) as caught:
            node.order("abcdef01.1.1", OPEN, hook="promote")
        said.append(f"{caught.value.code}: {caught.value.message}")

    promoting = threading.Thread(target=promote)
    promoting.start()
    while not hooked.ran():
        time.sleep(0.01)
    by_hand = "what root did by hand"
    later = {"order": "abcdef01.1.2", "claim": "abcdef01.2.0"}.get(what, by_hand)
    if what == "by hand":
        node.orders.by_hand("closed", "stop it")
    elif what == "adopt":
        node.orders.adopt("beefbeef")
    elif what == "claim":
        node.claim(later)
    else:
        node.order(later, CLOSED)
    assert promoting.is_alive()
    gate.touch()
    promoting.join()
    assert (said, node.closed) == ([f"stale: abcdef01.1.1 was overtaken by {later}"], (25, 993))


def test_a_promotion_that_was_overtaken_while_it_waited_is_not_run(node: Any, hooked: Hooked) -> None:
    hooked.has("promote")
    said: list[str] = []

    def promote() -> None:
        with pytest.raises(Refused) as caught:
            node.order("abcdef01.1.1", OPEN, hook="promote")
        said.append(caught.value.code)

    with held(os.path.join(node.config.run_dir, "work"), Deadline(1.0)):
        promoting = threading.Thread(target=promote)
        promoting.start()
        while node.token != "abcdef01.1.1":
            time.sleep(0.01)
        node.claim("abcdef01.2.0")
    promoting.join()
    assert (said, hooked.ran()) == (["stale"], [])


def test_command_and_verification_share_the_hooks_time(node: Any, hooked: Hooked) -> None:
    hooked.has("demote", "sleep 0.5", "sleep 60", timeout_s=1.0)
    detail = node.order("abcdef01.1.1", CLOSED, hook="demote").done.hook.detail
    assert float(detail.removeprefix("verify: sh: no end within ").removesuffix(" s")) <= 0.5


def a_writer(node: Any, tmp_path: Path, stop: str, start: str = "true") -> None:
    log = tmp_path / "log"
    state = tmp_path / "state-of-lmtp"
    state.write_text("active")
    unit = Unit(
        "lmtp",
        None,
        status=("cat", str(state)),
        start=("sh", "-c", f"echo start >> {log}; echo active > {state}"),
        stop=("sh", "-c", f"echo stop >> {log}; {stop.format(state=state)}"),
    )
    node.config = node.config._replace(units=(unit,), writers=("lmtp",))


def test_writers_stop_before_the_demotion_and_start_after_the_promotion(
    node: Any, hooked: Hooked, tmp_path: Path
) -> None:
    a_writer(node, tmp_path, "echo inactive > {state}")
    hooked.has("promote")
    hooked.has("demote")
    done = node.order("abcdef01.1.1", CLOSED, stop=True, hook="demote").done
    assert (done.writers.done, done.hook.verified) == (True, True)
    done = node.order("abcdef01.1.2", OPEN, hook="promote").done
    assert (done.writers.done, done.hook.verified) == (True, True)
    assert hooked.ran() == ["stop", "demote", "verify-demote", "promote", "verify-promote", "start"]


def test_a_failed_promotion_starts_no_writer(node: Any, hooked: Hooked, tmp_path: Path) -> None:
    a_writer(node, tmp_path, "echo inactive > {state}")
    hooked.has("promote", "exit 1")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    with pytest.raises(Refused):
        node.order("abcdef01.1.2", OPEN, hook="promote")
    assert hooked.ran() == ["stop", "promote"]
    assert node.memory.read().record.stop


def test_a_demotion_may_count_on_it_that_no_writer_runs(
    node: Any, hooked: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_writer(node, tmp_path, "true")
    hooked.has("demote")
    monkeypatch.setattr(writers, "KILL_S", 0.1)
    done = node.order("abcdef01.1.1", CLOSED, stop=True, hook="demote").done
    assert (done.writers.done, done.hook.ran) == (False, False)
    assert done.hook.detail == "not run: not all writers have stopped"
    assert hooked.ran() == ["stop"]


def test_two_hooks_never_run_at_once(
    node: Any, hooked: Hooked, refused_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked.has("promote")
    hooked.has("demote")
    monkeypatch.setattr(work, "WAIT_S", 0.1)
    with held(os.path.join(node.config.run_dir, "work"), Deadline(1.0)):
        with refused_with("busy"):
            node.order("abcdef01.1.1", OPEN, hook="promote")
        done = node.order("abcdef01.1.2", CLOSED, hook="demote").done
    assert (done.hook.verified, done.hook.detail) == (False, "not run: another order is being carried out")
    assert (hooked.ran(), node.closed) == ([], (25, 993))


@pytest.mark.parametrize("hook", ["reboot", "", 1, None, ["promote"], {"command": ["rm"]}])
def test_a_request_names_one_of_two_hooks_and_no_command(hook: object) -> None:
    order = {"nonce": "n", "do": "ports", "token": "abcdef01.1.1", "ports": OPEN, "hook": hook}
    with pytest.raises(Refused, match=r'hook: .* is not "promote" or "demote"'):
        protocol.parse_request(json.dumps(order).encode(), "n")
    parsed = protocol.parse_request(json.dumps({**order, "hook": "demote"}).encode(), "n")
    assert parsed.terms.hook == "demote"
