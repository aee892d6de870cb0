"""`state init`, `config check` and `run`, on a configuration that needs nothing but this machine."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.set_up import configured, epoch, mailward, remember

from mailward.app import client
from mailward.app.exits import Exit
from mailward.model.token import Token


def test_config_check_says_what_a_right_file_means(tmp_path: Path) -> None:
    config = configured(tmp_path)
    result = mailward("config", "check", str(config))
    assert result.exit_code == Exit.DONE, result.stderr
    assert "cluster test: hybrid, 2 nodes" in result.output
    assert result.output.endswith("is right.\n")


@pytest.mark.parametrize(("more", "warns"), [("", 1), ("observers: [{name: a, node: mail-a}]\n", 0)])
def test_a_switch_s_program_that_is_not_here_is_warned_of(tmp_path: Path, more: str, warns: int) -> None:
    """The file may be checked on another host than the daemon's; and one that never leads needs none."""
    config = configured(tmp_path)
    (here := tmp_path / "fence_here").write_text("#!/bin/sh\n")
    here.chmod(0o755)
    text = config.read_text()
    for node, program in (("mail-a", here), ("mail-b", tmp_path / "fence_gone")):
        assert text.count(f"{node}: {{") == 1
        text = text.replace(f"{node}: {{", f"{node}: {{agent: {{program: {program}}}, ")
    config.write_text(text + more)
    result = mailward("config", "check", str(config))
    said = [line for line in result.output.splitlines() if "is not on this host" in line]
    assert (len(said), result.exit_code) == (warns, Exit.DONE), result.output
    assert all(line.startswith("warning: nodes.mail-b.agent.program: ") for line in said)


def test_config_check_live_tries_every_connection(tmp_path: Path) -> None:
    config = configured(tmp_path)
    result = mailward("config", "check", "--live", str(config))
    assert result.exit_code == Exit.FAILED
    assert "FAILED  mail-a smtp: port " in result.output
    assert "connections work." in result.output


def test_state_init_makes_a_store_once(tmp_path: Path) -> None:
    config = configured(tmp_path)
    result = mailward("state", "init", "--config", str(config))
    assert result.exit_code == Exit.DONE, result.stderr
    assert "DNS target here: remembers nothing" in result.output
    assert epoch(config)[1] == 0
    again = mailward("state", "init", "--config", str(config))
    assert again.exit_code == Exit.FAILED
    assert "already holds a store" in again.stderr


def test_state_show_tells_what_the_store_holds_whatever_that_is(tmp_path: Path) -> None:
    config = configured(tmp_path)
    nothing = mailward("state", "show", "--config", str(config))
    assert nothing.exit_code == Exit.FAILED
    assert "there is no store; make one with: mailward state init" in nothing.stderr
    mailward("state", "init", "--config", str(config))
    (tmp_path / "store" / "pause.json").write_text("{half")
    shown = mailward("state", "show", "--config", str(config))
    assert shown.exit_code == Exit.DONE, shown.stderr
    found = json.loads(shown.stdout)
    assert found["store"]["store_id"] == epoch(config)[0]
    assert found["state"]["state"]["epoch"] == 0
    assert found["pause"] == "not JSON: {half"


def test_no_store_is_made_under_a_daemon_that_runs(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "m.sock"))
        daemon.listen()
        result = mailward("state", "init", "--config", str(config))
    assert result.exit_code == Exit.FAILED
    assert f"another mailward answers on {tmp_path}/m.sock; stop it first" in result.stderr
    assert not (tmp_path / "store" / "store.json").exists()


def test_state_init_takes_over_another_store_s_targets_only_by_name(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7))
    refused = mailward("state", "init", "--config", str(config))
    assert refused.exit_code == Exit.FOREIGN
    assert "remembers aaaabbbbcccc.41.7" in refused.output
    assert "--adopt aaaabbbbcccc" in refused.stderr
    adopted = mailward("state", "init", "--config", str(config), "--adopt", "aaaabbbbcccc")
    assert adopted.exit_code == Exit.DONE, adopted.stderr
    assert epoch(config) == ("aaaabbbbcccc", 41)


def test_who_is_not_in_dns_stays_out_of_a_store_made_anew(tmp_path: Path) -> None:
    """It was being drained, its ports still open, and was published again by a store that knew of nothing."""
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31")
    adopted = mailward("state", "init", "--config", str(config), "--adopt", "aaaabbbbcccc")
    assert adopted.exit_code == Exit.DONE, adopted.stderr
    assert "mail-b is out of mail.test.example (it was not in DNS when this store was made" in adopted.output
    assert "it stays out until you type: mailward readmit mail-b" in adopted.output
    phases = json.loads((tmp_path / "store" / "state.json").read_text())["state"]["phases"]
    assert [(p["node"], p["phase"], p["cause"]) for p in phases] == [("mail-b", "out", "operator")]


def test_state_init_wants_everybody_asked(tmp_path: Path) -> None:
    config = configured(tmp_path)
    key = "c2VjcmV0c2VjcmV0c2VjcmV0"
    (tmp_path / "tsig").write_text(key)
    (tmp_path / "tsig").chmod(0o600)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        text = config.read_text()
        start = text.index("dns: ")
        rfc2136 = (
            f"dns: {{here: {{rfc2136: {{server: 127.0.0.1, port: {port}, zone: test.example, "
            "tsig: {name: k, secret_file: tsig}}}}\n"
        )
        config.write_text(text[:start] + rfc2136 + text[text.index("coordination:") :])
        silent = mailward("state", "init", "--config", str(config))
        assert silent.exit_code == Exit.FAILED
        assert "DNS target here could not be asked" in silent.stderr
        assert not (tmp_path / "store" / "store.json").exists()
        forced = mailward("state", "init", "--config", str(config), "--without-asking")
    assert forced.exit_code == Exit.DONE, forced.stderr
    assert key not in silent.output + silent.stderr + forced.output + forced.stderr


def test_run_without_a_store_says_how_to_make_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mailward.app.cli", "run", "--config", str(configured(tmp_path))],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == Exit.FAILED
    assert "mailward state init" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_daemon_starts_answers_and_stops_cleanly(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert mailward("state", "init", "--config", str(config)).exit_code == Exit.DONE
    command = [sys.executable, "-m", "mailward.app.cli", "run", "--config", str(config), "--log", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            shown = wait_for_status(tmp_path / "m.sock")
        finally:
            daemon.send_signal(signal.SIGTERM)
        _, logged = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, logged
    assert shown["cluster"] == "test"
    assert shown["automation"]["mode"] == "OBSERVING"
    lines = [json.loads(line) for line in logged.splitlines()]
    assert lines[-1]["message"] == "stopped"
    assert any("canary: no account" in each["message"] for each in lines if each["level"] == "warning")
    assert not (tmp_path / "m.sock").exists()


def wait_for_status(path: Path) -> dict[str, Any]:
    """The first status of a daemon that is ready."""
    end = time.monotonic() + 20
    shown: dict[str, Any] = {}
    while time.monotonic() < end:
        with suppress(client.Unreachable):
            shown = json.loads(client.call(path, "GET", "/v1/status"))
        if shown.get("ready"):
            return shown
        time.sleep(0.05)
    raise AssertionError(f"not ready within 20 s: {shown}")
