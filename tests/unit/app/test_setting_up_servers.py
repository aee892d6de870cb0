"""`zookeeper setup`, and what a command says of servers that cannot be had."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.app.set_up import configured, mailward

from mailward.app.exits import Exit

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
