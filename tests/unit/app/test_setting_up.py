"""`state init`, `config check` and `run`, on a configuration that needs nothing but this machine."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailward.app import client
from mailward.app.cli import app
from mailward.app.compose import build
from mailward.app.exits import Exit
from mailward.configs.loading import load
from mailward.controller.clock import SystemClock
from mailward.controller.coordination import local
from mailward.model.dns import Change, RRset
from mailward.model.state import Cause, Flap, Pause, Phase, PhaseRecord, State
from mailward.model.token import Token

CONFIG = """\
cluster: test
deployment: hybrid
nodes:
  mail-a: {{site: north, addresses: [127.0.0.31]}}
  mail-b: {{site: south, addresses: [127.0.0.32]}}
helper: none
replication: none
services: {{smtp: {{port: {port}, probe: {{interval_s: 1, timeout_s: 1}}}}}}
endpoints: {{mail.test.example: {{services: [smtp]}}}}
dns: {{here: {{embedded: {{zone: test.example, listen: ["127.0.0.1:{port}"], ns: [ns.example.net]}}}}}}
coordination: {{local: {{directory: store}}}}
api: {{socket: m.sock}}
"""


def configured(tmp_path: Path) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "m.yaml"
    config.write_text(CONFIG.format(port=port))
    return config


def mailward(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"})


def remember(config: Path, token: Token, *addresses: str) -> None:
    """Let the embedded DNS target hold a token, as a controller of before left it, and name these."""

    async def claim() -> None:
        parts = build(load(config), token.store_id, SystemClock())
        name = ("mail.test.example.", "A")
        change = Change(*name, RRset(*name, 60, addresses)) if addresses else None
        await parts.dns["here"].driver.apply(None, token, [change] if change else [])
        await parts.close()

    (config.parent / "store").mkdir(exist_ok=True)
    asyncio.run(claim())


def epoch(config: Path) -> tuple[str, int]:
    store = config.parent / "store"
    return (
        json.loads((store / "store.json").read_text())["store_id"],
        json.loads((store / "epoch.json").read_text())["epoch"],
    )


def test_config_check_says_what_a_right_file_means(tmp_path: Path) -> None:
    config = configured(tmp_path)
    result = mailward("config", "check", str(config))
    assert result.exit_code == Exit.DONE, result.stderr
    assert "cluster test: hybrid, 2 nodes" in result.output
    assert result.output.endswith("is right.\n")


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


def shown_of(config: Path, tmp_path: Path, *phases: PhaseRecord, epoch: int = 9) -> Path:
    """What `state show` printed of an earlier store, in which a pause was set."""
    now = SystemClock().now()
    state = State("aaaabbbbcccc", epoch, phases=phases, flaps=(Flap("mail-b", Cause.SERVICE, 2, now),))
    local.make(tmp_path / "store", state, Pause("ann", "moving house", now, now.wall_s + 3600))
    shown = mailward("state", "show", "--config", str(config))
    assert shown.exit_code == Exit.DONE, shown.stderr
    for name in ("store", "epoch", "state", "pause"):  # and what its name server remembers stays
        (tmp_path / "store" / f"{name}.json").unlink()
    (tmp_path / "shown").write_text(shown.stdout)
    return tmp_path / "shown"


def taken_over(config: Path, shown: Path) -> tuple[str, dict[str, Any]]:
    done = mailward("state", "init", "--config", str(config), "--from", str(shown))
    assert done.exit_code == Exit.DONE, done.output
    document = json.loads((config.parent / "store" / "state.json").read_text())["state"]
    return done.stdout, document


def out(cause: Cause, detail: str, phase: Phase = Phase.OUT) -> PhaseRecord:
    return PhaseRecord("mail-b", "mail.test.example", phase, SystemClock().now(), cause, detail)


def test_a_store_that_takes_over_knows_why_a_node_is_out_and_that_it_is_paused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31")
    draining = out(Cause.OPERATOR, "ann: new disks", Phase.DRAINING)
    said, document = taken_over(config, shown_of(config, tmp_path, draining))
    assert "mail-b is out of mail.test.example (ann: new disks): it stays out until" in said
    assert [(p["phase"], p["detail"]) for p in document["phases"]] == [("out", "ann: new disks")]
    assert (document["epoch"], document["made_epoch"]) == (41, 41), "above what the outside remembers"
    assert [flap["count"] for flap in document["flaps"]] == [2]
    pause = json.loads((tmp_path / "store" / "pause.json").read_text())["pause"]
    assert pause["reason"] == "moving house"


def test_who_was_out_may_have_been_drained_since_the_file_was_written(tmp_path: Path) -> None:
    """It had failed when the file was written; the targets remember more than that store sent until then."""
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31")
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.SERVICE, "smtp refused")))
    assert "(smtp refused; since then it may have been drained): it stays out until you type" in said
    assert [p["cause"] for p in document["phases"]] == ["operator"]


def test_that_the_new_store_is_paused_is_said(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    shown = shown_of(config, tmp_path)
    shown.write_text(re.sub(r'("until_wall_s": )[0-9.e+]+', r"\g<1>1e300", shown.read_text()))
    assert "Paused by ann until a time that no clock shows: moving house" in taken_over(config, shown)[0]


def test_a_file_of_another_store_than_the_targets_obey_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("ddddeeeeffff", 41, 7), "127.0.0.31")
    shown = shown_of(config, tmp_path)
    done = mailward("state", "init", "--config", str(config), "--from", str(shown))
    assert done.exit_code == Exit.FOREIGN
    assert "is of store aaaabbbbcccc, and what was asked obeys ddddeeeeffff" in done.output.replace("\n", " ")


def test_a_store_that_takes_over_starts_above_what_the_earlier_one_may_have_sent(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    assert taken_over(config, shown_of(config, tmp_path, epoch=55))[1]["epoch"] == 55


def test_what_dns_contradicts_is_not_believed_and_said(tmp_path: Path) -> None:
    """It was readmitted after `state show`: taken at its word, the file would take it out again."""
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.OPERATOR, "ann: new disks")))
    assert "mail-b was out of mail.test.example then; DNS names it: it counts as in service" in said
    assert document["phases"] == []


def test_where_dns_says_nothing_of_an_endpoint_the_earlier_store_s_word_counts(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 9, 0))
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.SERVICE, "smtp refused")))
    assert (
        "mail-b is out of mail.test.example (smtp refused): it comes back by itself when it is well" in said
    )
    assert [p["cause"] for p in document["phases"]] == ["service-failed"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("nothing", "is not what `mailward state show` prints: JSONDecodeError"),
        ("[]", "is not what `mailward state show` prints: TypeError"),
        ('{"store": {}}', "is not what `mailward state show` prints: KeyError('state')"),
        (
            '{"store": {"store_id": "aaaabbbbcccc"}, "state": {"store_id": "aaaabbbbcccc", "epoch": 3},'
            ' "epoch": 1e18, "pause": null}',
            "no epoch is 1000000000000000000",
        ),
        (
            '{"store": {"store_id": "aaaabbbbcccc"}, "state": {"epoch": 3}, "epoch": 3, "pause": null}',
            "holds no valid State: store_id: Field required",
        ),
    ],
)
def test_a_file_that_is_no_store_is_told(tmp_path: Path, content: str, why: str) -> None:
    config = configured(tmp_path)
    (tmp_path / "shown").write_text(content)
    done = mailward("state", "init", "--config", str(config), "--from", str(tmp_path / "shown"))
    assert done.exit_code == Exit.FAILED
    assert why in done.output.replace("\n", " ")
    assert not (tmp_path / "store" / "store.json").exists()


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


ENSEMBLE = """\
coordination:
  zookeeper: {servers: ["zk-a.test.example:2281", "zk-b.test.example:2281", "zk-w.test.example:2281"]}
observers: [{name: mail-a, site: north}, {name: mail-b, site: south}, {name: witness}]
observer: witness
dns: {here: {rfc2136: {server: 192.0.2.53, zone: test.example, tsig: {name: key, secret_file: tsig}}}}
"""


def in_zookeeper(tmp_path: Path) -> Path:
    config = configured(tmp_path)
    (tmp_path / "tsig").write_text("c2VjcmV0c2VjcmV0c2VjcmV0")
    (tmp_path / "tsig").chmod(0o600)
    ours = [line for line in config.read_text().splitlines() if line.partition(":")[0] not in ENSEMBLE]
    text = "\n".join(ours) + "\n" + ENSEMBLE
    config.write_text(text)
    return config


def test_what_a_server_needs_is_written_once_and_what_to_do_with_it_told(tmp_path: Path) -> None:
    config, out = in_zookeeper(tmp_path), tmp_path / "server"
    words = ("zookeeper", "setup", "--server", "2", "--out", str(out), "--config", str(config))
    done = mailward(*words)
    assert done.exit_code == Exit.DONE, done.output
    assert "Server 2 of 3: zk-b.test.example:2281." in done.stdout
    assert sorted(each.name for each in out.iterdir()) == ["environment", "myid", "zoo.cfg"]
    assert (out / "myid").read_text() == "2\n"
    (out / "zoo.cfg").write_text("by hand")
    again = mailward(*words)
    assert again.exit_code == Exit.FAILED
    assert "would be written over; nothing was done" in again.output
    assert (out / "zoo.cfg").read_text() == "by hand"


def test_where_clients_show_a_password_the_place_of_each_is_written_for_root_alone(tmp_path: Path) -> None:
    config, out = in_zookeeper(tmp_path), tmp_path / "server"
    (tmp_path / "password").write_text("planted")
    login = '2281"], admins: [anna], login: {user: witness, password_file: password}}'
    config.write_text(config.read_text().replace('2281"]}', login))
    done = mailward("zookeeper", "setup", "--server", "1", "--out", str(out), "--config", str(config))
    assert done.exit_code == Exit.DONE, done.output
    assert "write into jaas.conf there each user's password" in done.stdout
    passwords = out / "jaas.conf"
    assert passwords.stat().st_mode & 0o077 == 0
    users = [line.strip() for line in passwords.read_text().splitlines() if "user_" in line]
    assert [user.partition("=")[0] for user in users] == [
        "user_anna", "user_mail-a", "user_mail-b", "user_witness",
    ]  # fmt: skip
    assert "planted" not in passwords.read_text()


@pytest.mark.parametrize(
    ("made", "why"),
    [(in_zookeeper, "there are 3 servers"), (configured, "coordination.zookeeper names no servers")],
)
def test_where_there_is_no_such_server_nothing_is_written(
    tmp_path: Path, made: Callable[[Path], Path], why: str
) -> None:
    out = tmp_path / "server"
    words = ("--server", "4", "--out", str(out), "--config", str(made(tmp_path)))
    done = mailward("zookeeper", "setup", *words)
    assert done.exit_code == Exit.FAILED
    assert why in done.output
    assert not out.exists()


def test_where_no_server_is_a_command_says_so_soon_and_alone(tmp_path: Path) -> None:
    """Nobody listens there: it is not waited for as for servers that elect one; and no library speaks."""
    config = in_zookeeper(tmp_path)
    nowhere = ", ".join(f'"127.0.0.{number}:9"' for number in (41, 42, 43))
    text = config.read_text()
    names = '"zk-a.test.example:2281", "zk-b.test.example:2281", "zk-w.test.example:2281"'
    assert names in text
    config.write_text(text.replace(names, nowhere))
    done = subprocess.run(
        [Path(sys.executable).with_name("mailward"), "state", "show", "--config", config],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "mailward: ZooKeeper cannot be used: 127.0.0.41:9 cannot be reached: Connection refused"
    )


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        ('"zk-a:2281", "zk-a:2282", "zk-w:2281"', "two servers stand on one host"),
        ('"zk-a:2888", "zk-b:2888", "zk-w:2888"', "ports 2888 and 3888 are for the servers among themselves"),
    ],
)
def test_servers_that_could_not_start_are_refused(tmp_path: Path, servers: str, why: str) -> None:
    config, out = in_zookeeper(tmp_path), tmp_path / "server"
    names = '"zk-a.test.example:2281", "zk-b.test.example:2281", "zk-w.test.example:2281"'
    config.write_text(config.read_text().replace(names, servers))
    done = mailward("zookeeper", "setup", "--server", "1", "--out", str(out), "--config", str(config))
    assert done.exit_code == Exit.FAILED
    assert why in done.output
    assert not out.exists()
