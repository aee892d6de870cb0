"""A daemon and a command that ZooKeeper turns away: one clear sentence each, and no storm of tries.

The mail servers of these configurations are not there; nothing but the store is at stake.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.lab.harness.controller import PROGRAM
from tests.lab.harness.in_zookeeper import OBSERVERS, groups_of, knowing
from tests.lab.harness.waiting import wait_until
from tests.lab.harness.zookeeper import ZooKeepers

RUNS_S = 8.0
MOST_TRIES = 16
"""Connections, of a daemon that is turned away, in that time: once in half a second."""


@dataclass(frozen=True)
class Host:
    """One host's configuration file."""

    file: Path

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PROGRAM, *words, "--config", self.file], capture_output=True, text=True, timeout=60
        )

    def checked(self) -> str:
        return subprocess.run(
            [PROGRAM, "config", "check", self.file, "--live"], capture_output=True, text=True, timeout=60
        ).stdout


GROUPS = groups_of("refusals")


@pytest.fixture(scope="module", params=GROUPS)
def server(request: pytest.FixtureRequest) -> Iterator[ZooKeepers]:
    with knowing(request.param) as server:
        yield server


@pytest.fixture
def good(server: ZooKeepers, tmp_path: Path) -> Host:
    """Who has made the store of a new cluster."""
    good = host(tmp_path / "good", server, OBSERVERS[0])
    made = good.command("state", "init", "--without-asking")
    assert made.returncode == 0, made.stderr
    return good


def host(folder: Path, server: ZooKeepers, observer: str, **section: Any) -> Host:
    folder.mkdir()
    names = OBSERVERS if observer in OBSERVERS else (*OBSERVERS, observer)
    document = {
        "cluster": folder.parent.name.replace("_", "-").strip("-").lower(),
        "deployment": "hybrid",
        "nodes": {
            name: {"site": name, "addresses": [address], "hostname": f"{name}.test.example"}
            for name, address in (("mail-a", "127.0.0.7"), ("mail-b", "127.0.0.8"))
        },
        "helper": "none",
        "replication": "none",
        "services": {"smtp": {}},
        "endpoints": {"mail.test.example": {"services": ["smtp"]}},
        "coordination": {"zookeeper": {**server.configuration(observer, 4.0), **section}},
        "observers": [{"name": name} for name in names],
        "observer": observer,
        "api": {"socket": "api.sock"},
    }
    (folder / "mailward.yaml").write_text(yaml.safe_dump(document))
    return Host(folder / "mailward.yaml")


def _not_named(folder: Path, server: ZooKeepers) -> Host:
    return host(folder, server, "stranger")


def _another_ca(folder: Path, server: ZooKeepers) -> Host:
    ours = server.configuration(OBSERVERS[0], 4.0)["tls"]
    return host(folder, server, OBSERVERS[0], tls={**ours, "ca_file": str(server.stranger().ca_file)})


def _another_authority(folder: Path, server: ZooKeepers) -> Host:
    """Its certificate: the servers' is believed."""
    theirs = server.stranger()
    ours = server.configuration(OBSERVERS[0], 4.0)["tls"]
    files = {"cert_file": str(theirs.cert_file), "key_file": str(theirs.key_file)}
    return host(folder, server, "stranger", tls={**ours, **files})


def _wrong_password(folder: Path, server: ZooKeepers) -> Host:
    found = host(folder, server, OBSERVERS[0], login={"user": OBSERVERS[0], "password_file": "password"})
    (folder / "password").write_text("planted-but-wrong")
    return found


def _no_password(folder: Path, server: ZooKeepers) -> Host:
    return host(folder, server, OBSERVERS[0], login=None)


@dataclass(frozen=True)
class Kind:
    """A way to be turned away, and what is said of it."""

    made: Callable[[Path, ZooKeepers], Host]
    said: str


KINDS = {
    "not named": Kind(_not_named, "ZooKeeper gives us no right to /mailward/"),
    "another CA": Kind(_another_ca, "shows a certificate that is not believed"),
    "another authority": Kind(_another_authority, "(refuses our certificate|hangs up)"),
    "no password": Kind(_no_password, "wants a password: write coordination.zookeeper.login"),
    "wrong password": Kind(_wrong_password, "refuses our user 'host0' or its password"),
}
CASES = [
    pytest.param(known_by, kind, marks=pytest.mark.xdist_group(f"refusals {known_by}"))
    for known_by, kind in (
        ("certificates", "not named"),
        ("certificates", "another CA"),
        ("certificates", "another authority"),
        ("passwords", "not named"),
        ("passwords", "no password"),
        ("passwords", "wrong password"),
    )
]


@pytest.mark.parametrize(("server", "kind"), CASES, indirect=["server"])
def test_a_command_that_is_turned_away_says_why_in_one_sentence(
    good: Host, server: ZooKeepers, tmp_path: Path, kind: str
) -> None:
    host = KINDS[kind].made(tmp_path / "bad", server)
    for words in (("state", "show"), ("state", "init", "--without-asking"), ("zookeeper", "grant")):
        done = host.command(*words)
        assert done.returncode == 1, done.stdout
        (line,) = done.stderr.splitlines()
        assert re.search(KINDS[kind].said, line), line
        assert "planted" not in done.stderr + done.stdout
    paused = host.command("pause")
    assert paused.returncode == 3
    told = paused.stderr.splitlines()
    assert [line.partition(":")[0] for line in told] == ["mailward", "The store cannot be written either"]
    assert re.search(KINDS[kind].said, told[1]), told[1]


@contextmanager
def daemon(host: Host) -> Iterator[Path]:
    """It runs; its log."""
    log = host.file.with_name("log")
    with log.open("w") as out:
        running = subprocess.Popen(
            [PROGRAM, "run", "--config", host.file, "--log", "text"], stdout=out, stderr=subprocess.STDOUT
        )
        try:
            yield log
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(15) == 0, log.read_text()


def not_ready(host: Host) -> str:
    done = host.command("status", "--json")
    found: str = "it does not answer" if done.returncode == 3 else json.loads(done.stdout)["not_ready"]
    return found


@pytest.mark.parametrize(("server", "kind"), CASES, indirect=["server"])
def test_a_daemon_that_is_turned_away_says_why_once_and_waits_quietly(
    good: Host, server: ZooKeepers, tmp_path: Path, kind: str
) -> None:
    host = KINDS[kind].made(tmp_path / "bad", server)
    with daemon(host) as log:
        wait_until(lambda: re.search(KINDS[kind].said, not_ready(host)), "it says why", 30)
        before = server.containers[1].logs().count(b"Accepted")
        time.sleep(RUNS_S)
        tries = server.containers[1].logs().count(b"Accepted") - before
    wrong = [line for line in log.read_text().splitlines() if "WARNING" in line or "ERROR" in line]
    told = [line for line in wrong if "app.process" not in line]
    sentences = [line.partition(" ")[2] for line in told]
    assert len(set(sentences)) == len(sentences) > 0, told
    assert re.search(KINDS[kind].said, told[-1]), told
    assert tries <= MOST_TRIES


def test_a_daemon_goes_on_by_itself_once_it_has_been_granted_its_rights(
    good: Host, server: ZooKeepers, tmp_path: Path
) -> None:
    new = _not_named(tmp_path / "new", server)
    assert good.command("state", "show").returncode == 0
    with daemon(new):
        wait_until(lambda: "gives us no right" in not_ready(new), "it is turned away", 20)
        document = yaml.safe_load(good.file.read_text())
        document["observers"].append({"name": "stranger"})
        good.file.write_text(yaml.safe_dump(document))
        differs = "FAILED  rights in ZooKeeper: not as the configuration says at /mailward/"
        assert differs in good.checked()
        refused = new.command("zookeeper", "grant")
        assert refused.returncode == 1
        assert "gives us no right" in refused.stderr
        granted = good.command("zookeeper", "grant")
        assert granted.returncode == 0, granted.stderr
        assert "stranger is " in granted.stdout
        assert "changed: /mailward/" in granted.stdout
        wait_until(lambda: not not_ready(new), "it works", 20)
    assert "works   rights in ZooKeeper: as the configuration says" in good.checked()
    assert "It was so already." in good.command("zookeeper", "grant").stdout
