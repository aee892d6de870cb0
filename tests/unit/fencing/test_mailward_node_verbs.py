"""The verbs a human uses, as the one-file program, with a stand-in for nft that keeps what it is given."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node.build import build
from mailward.fencing.node.memory import Memory

NFT = """#!/bin/sh
case "$*" in
  "list tables") ;;
  "-f -") cat > "$NFT_RULES"; exit "${NFT_FAILS:-0}" ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("out") / "mailward-node.pyz")


@pytest.fixture
def verb(program: Path, tmp_path: Path) -> Callable[..., Any]:
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name in ("nft", "iptables", "ip6tables", "ss", "systemctl"):
        (stubs / name).write_text(NFT if name == "nft" else "#!/bin/sh\nexit 1\n")
        (stubs / name).chmod(0o755)
    config = {
        "services": {"imaps": 993, "submission": 587},
        "state_dir": str(tmp_path / "state"),
        "run_dir": str(tmp_path / "run"),
    }
    (tmp_path / "node.json").write_text(json.dumps(config))
    env = {**os.environ, "PATH": f"{stubs}:{os.environ['PATH']}", "NFT_RULES": str(tmp_path / "rules")}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(program), "--config", str(tmp_path / "node.json"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env={**env, **more}, stdin=subprocess.DEVNULL, timeout=20
        )

    return run


def rules(tmp_path: Path) -> str:
    return (tmp_path / "rules").read_text()


def test_close_and_open_by_hand_are_recorded_and_journalled(verb: Any, tmp_path: Path) -> None:
    closed = verb("close", "--reason", "disk swap")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert closed.stdout.startswith("closed: imaps, submission. The controller's next order replaces this")
    assert "elements = { 587, 993 }" in rules(tmp_path)
    opened = verb("open", "--force", "--reason", "done")
    assert (opened.returncode, opened.stdout) == (
        0,
        "open: imaps, submission. The controller's next order replaces this; a standby of a cluster is given"
        " none: it is left open, and nobody else is promoted, until `mailward-node close`.\n",
    )
    assert "elements" not in rules(tmp_path)
    journal = (tmp_path / "state" / "journal.log").read_text().splitlines()
    assert "every port closed by hand: disk swap (by " in journal[0]
    assert "every port open by hand: done (by " in journal[1]
    status = json.loads(verb("status", "--json").stdout)
    assert (status["ports"], status["forced"]) == ({"imaps": "open", "submission": "open"}, True)


def test_open_wants_force(verb: Any, tmp_path: Path) -> None:
    assert verb("open").returncode == 2
    assert not (tmp_path / "rules").exists()


def test_open_by_hand_works_with_a_broken_configuration(verb: Any, tmp_path: Path) -> None:
    verb("close")
    (tmp_path / "node.json").write_text("{")
    opened = verb("open", "--force")
    assert opened.returncode == 0
    assert "not JSON" in opened.stderr
    assert "could not be recorded" in opened.stdout
    assert rules(tmp_path) == "table inet mailward\ndelete table inet mailward\n"


def test_open_by_hand_that_fails_says_so(verb: Any) -> None:
    opened = verb("open", "--force", NFT_FAILS="1")
    assert opened.returncode == 1
    assert "nft" in opened.stderr


def test_restore_gives_back_the_map_and_says_when_there_is_none(verb: Any, tmp_path: Path) -> None:
    assert verb("restore").stdout == "no order is recorded: all ports are left open\n"
    assert not (tmp_path / "rules").exists()
    verb("close")
    (tmp_path / "rules").unlink()
    assert verb("restore").stdout == "restored imaps closed, submission closed\n"
    assert "elements = { 587, 993 }" in rules(tmp_path)


def test_restore_of_a_damaged_record_leaves_the_ports_and_fails(verb: Any, tmp_path: Path) -> None:
    verb("close")
    (tmp_path / "rules").unlink()
    (tmp_path / "state" / "state.json").write_text("rubbish")
    restored = verb("restore")
    assert restored.returncode == 1
    assert "state.json is damaged" in restored.stderr
    assert not (tmp_path / "rules").exists()


def test_adopt_pins_another_store(verb: Any, tmp_path: Path) -> None:
    assert verb("adopt", "BEEF", "--force").returncode == 1
    assert verb("adopt", "beefbeef").returncode == 2
    assert verb("adopt", "beefbeef", "--force").returncode == 0
    memory = Memory(str(tmp_path / "state"), str(tmp_path / "run"))
    assert memory.read().record.store == "beefbeef"


def test_remove_takes_our_table_and_keeps_the_state(verb: Any, tmp_path: Path) -> None:
    verb("close")
    assert verb("remove").returncode == 0
    assert rules(tmp_path) == "table inet mailward\ndelete table inet mailward\n"
    assert (tmp_path / "state" / "state.json").exists()


def test_connect_pipes_to_the_service_on_loopback(verb: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = {"services": {"imaps": server.getsockname()[1]}}
        (tmp_path / "node.json").write_text(json.dumps(config))
        import threading

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"* OK\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert verb("connect", "imaps").stdout == "* OK\n"
        thread.join()
    assert "no service 'pop3s' on this node; it has imaps" in verb("connect", "pop3s").stderr
    assert "Connection refused" in verb("connect", "imaps").stderr


def test_install_shows_one_sudoers_line_and_the_unit_before_the_mail_services(verb: Any) -> None:
    shown = verb("install", "--user", "fencer").stdout
    assert "fencer ALL=(root) NOPASSWD: /usr/local/sbin/mailward-node serve\n" in shown
    assert "Before=postfix.service postfix@-.service dovecot.service\n" in shown
    assert "After=nftables.service" in shown
    assert 'restrict,command="sudo -n /usr/local/sbin/mailward-node serve"' in shown
    assert verb("install", "--user", "root ALL").returncode == 1


def test_without_any_firewall_it_says_so(verb: Any, tmp_path: Path) -> None:
    (tmp_path / "bin" / "nft").write_text("#!/bin/sh\nexit 1\n")
    closed = verb("close")
    assert closed.returncode == 1
    assert "neither nft nor iptables works here" in closed.stderr
