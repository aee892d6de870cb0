"""Writers are stopped once the ports are closed, and started before they open; by commands that run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node import protocol, status, work, writers
from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import Unit
from mailward.fencing.node.lock import held
from mailward.fencing.node.memory import decode, encode
from mailward.fencing.node.refusal import Refused
from mailward.fencing.node.screen import lines
from mailward.fencing.node.terms import Terms

CLOSED: dict[str, Any] = {"smtp": "closed", "imaps": "closed"}
OPEN: dict[str, Any] = {"smtp": "open", "imaps": "open"}
HALF: dict[str, Any] = {"smtp": "closed", "imaps": "open"}


class Writer:
    """A unit that is a file: it runs while that is there. `log` has what it was told, and what was refused
    at that moment."""

    def __init__(self, node: Any, folder: Path, name: str) -> None:
        self.file = folder / name
        self.file.touch()
        self.log = folder / f"{name}.log"

        def command(script: str) -> tuple[str, ...]:
            return ("sh", "-c", script)

        self.unit = Unit(
            name,
            None,
            status=command(f"[ -e {self.file} ] && echo active || echo inactive"),
            start=command(f"echo start >> {self.log}; touch {self.file}"),
            stop=command(f"echo stop >> {self.log}; rm -f {self.file}"),
        )
        config = node.config
        node.config = config._replace(units=(*config.units, self.unit), writers=(*config.writers, name))

    @property
    def runs(self) -> bool:
        return self.file.exists()

    def told(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def writer(node: Any, tmp_path: Path) -> Callable[[str], Writer]:
    return lambda name: Writer(node, tmp_path, name)


def test_all_writers_are_stopped_after_the_ports_are_closed_and_the_answer_says_so(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lmtp, queue = writer("lmtp"), writer("queue")
    closed_first: list[object] = []
    stop = writers._stop

    def seen(unit: Unit) -> str:
        closed_first.append(node.closed)
        return stop(unit)

    monkeypatch.setattr(writers, "_stop", seen)
    obeyed = node.order("abcdef01.1.1", CLOSED, stop=True)
    assert obeyed.done.writers == ("stopped", True, {"lmtp": "inactive", "queue": "inactive"})
    assert (lmtp.runs, queue.runs) == (False, False)
    assert closed_first == [(25, 993)] * 2
    answer = protocol.obeyed(obeyed)
    assert (answer["stopped"], answer["writers"]) == (True, {"lmtp": "inactive", "queue": "inactive"})


def test_an_order_that_does_not_want_it_stops_nothing(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    assert "stopped" not in protocol.obeyed(node.order("abcdef01.1.1", CLOSED))
    assert lmtp.told() == []


def test_a_writer_that_does_not_stop_is_named_and_the_ports_stay_closed(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer("lmtp")
    stuck = writer("queue")
    node.config = node.config._replace(
        units=(node.config.units[0], stuck.unit._replace(stop=("sleep", "60")))
    )
    monkeypatch.setattr(writers, "STOP_S", 0.2)
    monkeypatch.setattr(writers, "KILL_S", 0.2)
    began = time.monotonic()
    answer = protocol.obeyed(node.order("abcdef01.1.1", CLOSED, stop=True))
    assert time.monotonic() - began < 5
    assert (answer["ok"], answer["stopped"]) == (True, False)
    assert answer["writers"] == {"lmtp": "inactive", "queue": "active"}
    assert node.closed == (25, 993)


def test_where_no_writer_is_listed_none_has_stopped(node: Any) -> None:
    assert node.order("abcdef01.1.1", CLOSED, stop=True).done.writers == ("stopped", False, {})


def test_what_cannot_be_asked_has_not_stopped(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lmtp = writer("lmtp")
    monkeypatch.setattr(writers, "KILL_S", 0.1)
    node.config = node.config._replace(units=(lmtp.unit._replace(status=("sh", "-c", "exit 4")),))
    assert node.order("abcdef01.1.1", CLOSED, stop=True).done.writers == (
        "stopped",
        False,
        {"lmtp": "unknown"},
    )


def test_writers_are_stopped_only_where_every_port_is_closed(node: Any, refused_with: Any) -> None:
    with refused_with("bad-request", "only where every port is closed"):
        node.order("abcdef01.1.1", HALF, stop=True)
    assert node.token == "None"


def test_the_next_order_without_it_starts_them_before_the_ports_open(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    ran_at_opening: list[bool] = []
    apply = node.firewall.apply

    def seen(plan: Any) -> str:
        ran_at_opening.append(lmtp.runs)
        return str(apply(plan))

    node.firewall.apply = seen
    answer = protocol.obeyed(node.order("abcdef01.1.2", OPEN))
    assert (answer["started"], answer["writers"]) == (True, {"lmtp": "active"})
    assert (ran_at_opening, node.closed) == ([True], ())
    node.order("abcdef01.1.3", OPEN)
    assert lmtp.told() == ["stop", "start"]


def test_a_writer_that_does_not_start_is_named_and_the_ports_open(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    monkeypatch.setattr(writers, "START_S", 0.2)
    node.config = node.config._replace(units=(lmtp.unit._replace(start=("false",)),))
    answer = protocol.obeyed(node.order("abcdef01.1.2", OPEN))
    assert (answer["ok"], answer["started"], answer["writers"]) == (True, False, {"lmtp": "inactive"})
    assert node.closed == ()


def test_an_order_that_keeps_the_ports_closed_starts_them_as_well(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    node.order("abcdef01.1.2", CLOSED)
    assert (lmtp.runs, node.closed) == (True, (25, 993))
    assert not node.memory.read().record.stop


def test_nothing_is_started_that_cannot_be_remembered(node: Any, writer: Any, refused_with: Any) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    node.memory.disk_full = True
    with refused_with("not-persisted"):
        node.order("abcdef01.1.2", OPEN)
    assert (lmtp.runs, node.closed, node.token) == (False, (25, 993), "abcdef01.1.1")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started_slowly(node: Any, writer: Writer, gate: Path) -> None:
    """Its start waits for a file."""
    script = f"echo start >> {writer.log}; touch {writer.file}; until [ -e {gate} ]; do sleep 0.02; done"
    node.config = node.config._replace(units=(writer.unit._replace(start=("sh", "-c", script)),))


class Side(threading.Thread):
    """An order that is given beside another one, and what came of it."""

    def __init__(self, node: Any, token: str, ports: dict[str, Any], **terms: Any) -> None:
        super().__init__()
        self.said = ""
        self.order = partial(node.order, token, ports, **terms)
        self.start()

    def run(self) -> None:
        try:
            self.order()
        except Refused as error:
            self.said = f"{error.code}: {error.message}"


def test_closing_waits_for_no_work_and_what_it_overtook_opens_nothing(
    node: Any, writer: Any, tmp_path: Path
) -> None:
    lmtp, gate = writer("lmtp"), tmp_path / "gate"
    node.order("abcdef01.1.1", CLOSED, stop=True)
    started_slowly(node, lmtp, gate)
    opening = Side(node, "abcdef01.1.2", OPEN)
    wait_until(lambda: lmtp.told()[-1:] == ["start"])
    closing = Side(node, "abcdef01.1.3", CLOSED, stop=True)
    wait_until(lambda: node.token == "abcdef01.1.3" and len(node.ended) == 2)
    assert opening.is_alive()
    gate.touch()
    opening.join()
    closing.join()
    assert (opening.said, closing.said) == ("stale: abcdef01.1.2 was overtaken by abcdef01.1.3", "")
    assert node.closed == (25, 993)
    assert (lmtp.runs, lmtp.told()) == (False, ["stop", "start", "stop"])


def test_a_stop_that_was_overtaken_while_it_waited_stops_nothing(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    with held(os.path.join(node.config.run_dir, "work"), Deadline(1.0)):
        closing = Side(node, "abcdef01.1.1", CLOSED, stop=True)
        wait_until(lambda: len(node.ended) == 1)
        node.claim("abcdef01.2.0")
    closing.join()
    assert (closing.said, lmtp.told()) == ("stale: abcdef01.1.1 was overtaken by abcdef01.2.0", [])


def test_where_another_order_works_on_the_ports_are_closed_and_the_writers_are_not_stopped(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer("lmtp")
    monkeypatch.setattr(work, "WAIT_S", 0.1)
    with held(os.path.join(node.config.run_dir, "work"), Deadline(1.0)):
        obeyed = node.order("abcdef01.1.1", CLOSED, stop=True)
    assert (obeyed.done.writers, node.closed) == (("stopped", False, {}), (25, 993))


def test_a_lease_is_renewed_while_an_order_waits_for_its_work(node: Any, writer: Any, tmp_path: Path) -> None:
    """What takes long holds up no other."""
    writer("lmtp")
    node.order("abcdef01.1.1", OPEN, lease_s=30.0)
    with held(os.path.join(node.config.run_dir, "work"), Deadline(1.0)):
        assert node.renew("abcdef01.1.1", window_s=0.5).persisted


def test_writers_are_stopped_again_at_boot(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    node.reboot()
    lmtp.file.touch()
    assert node.orders.restore().done.writers == ("stopped", True, {"lmtp": "inactive"})
    assert (lmtp.runs, node.closed) == (False, (25, 993))


def test_root_opens_by_hand_and_the_writers_are_started(node: Any, writer: Any) -> None:
    lmtp = writer("lmtp")
    node.order("abcdef01.1.1", CLOSED, stop=True)
    assert node.orders.by_hand("closed", "to be sure").done.writers is None
    assert not lmtp.runs
    obeyed = node.orders.by_hand("open", "mail is down")
    assert (obeyed.done.writers.done, lmtp.runs, node.closed) == (True, True, ())
    assert not node.memory.read().record.stop


def test_that_writers_are_to_be_stopped_is_kept_in_the_record(node: Any, writer: Any) -> None:
    writer("lmtp")
    record = node.order("abcdef01.1.1", CLOSED, stop=True).record
    assert record.stop
    assert decode(encode(record)) == record
    assert node.claim("abcdef01.2.0").record.stop


@pytest.mark.parametrize(
    ("runs", "stopped", "text"), [(False, True, "stopped"), (True, False, "TO BE STOPPED")]
)
def test_status_tells_whether_they_are_stopped_now(
    node: Any, writer: Any, monkeypatch: pytest.MonkeyPatch, runs: bool, stopped: bool, text: str
) -> None:
    monkeypatch.setattr(status, "choose", lambda: node.firewall)
    lmtp = writer("lmtp")
    assert status.collect(node.config, node.memory)["stopped"] is None
    node.order("abcdef01.1.1", CLOSED, stop=True)
    if runs:  # somebody has started it
        lmtp.file.touch()
    facts = status.collect(node.config, node.memory)
    assert facts["stopped"] is stopped
    assert any(line.startswith(f"writers   {text}") for line in lines(facts))
    assert max(map(len, lines(facts))) <= 80


SYSTEMCTL = """#!/bin/sh
echo "$*" >> {log}
case "$1" in
  show) printf 'Id=postfix.service\\nActiveState=%s\\nSubState=x\\n' "$(cat {state})" ;;
  stop) {stop} ;;
  kill) echo failed > {state} ;;
  start) echo active > {state} ;;
esac
"""


@pytest.mark.parametrize(
    ("stop", "killed"), [("echo inactive > {state}", False), ("sleep 60", True), ("exit 1", True)]
)
def test_a_systemd_unit_is_killed_only_if_it_does_not_stop_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str, killed: bool
) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    state.write_text("active")
    script = tmp_path / "bin" / "systemctl"
    script.parent.mkdir()
    script.write_text(SYSTEMCTL.format(log=log, state=state, stop=stop.format(state=state)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(writers, "STOP_S", 1.0)
    unit = Unit("postfix", "postfix@-.service", ())
    assert writers.stop([unit]) == ("stopped", True, {"postfix": "failed" if killed else "inactive"})
    said = log.read_text().splitlines()
    assert said[0] == "stop -- postfix@-.service"
    assert ("kill -s KILL -- postfix@-.service" in said) is killed
    assert writers.start([unit]) == ("started", True, {"postfix": "active"})


@pytest.mark.parametrize("stop", [0, 1, "true", None, []])
def test_to_stop_is_yes_or_no(stop: object) -> None:
    import json

    order = {"nonce": "n", "do": "ports", "token": "abcdef01.1.1", "ports": CLOSED, "stop": stop}
    with pytest.raises(Refused, match=r"stop: .* is not true or false"):
        protocol.parse_request(json.dumps(order).encode(), "n")
    assert protocol.parse_request(json.dumps({**order, "stop": True}).encode(), "n").terms == Terms(stop=True)
