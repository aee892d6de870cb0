"""Several daemons and ZooKeeper: what works as it is written, and would be found out at a bad time."""

from pathlib import Path

import pytest
from tests.unit.configs.good import Edit, Loaded, Problems

TLS = "tls: {ca_file: ca.pem, cert_file: ca.pem, key_file: ssh_key}"
SERVERS = "zk1.example.com:2281, zk2.example.com:2281, zk3.example.com:2281"
OBSERVERS = (
    "{name: mail-a, site: north, address: 'a.example.com:7443'}, "
    "{name: mail-b, site: south, address: 'b.example.com:7443'}, "
    "{name: watch, address: 'w.example.com:7443'}"
)


def several(servers: str = SERVERS, tls: str = TLS, observers: str = OBSERVERS) -> Edit:
    section = f"coordination: {{zookeeper: {{servers: [{servers}], {tls}}}}}\nobserver: mail-a\n"
    return "canary: {", f"{section}observers: [{observers}]\ncanary: {{"


@pytest.fixture(autouse=True)
def certificate(etc: Path) -> None:
    (etc / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")


def test_three_servers_and_three_daemons_need_nothing_more(loaded: Loaded) -> None:
    assert loaded(several()).warnings == ()


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        (
            several(servers="zk1:2281"),
            "coordination.zookeeper: one server: without it nothing is done; three can spare one",
        ),
        (
            several(servers="zk1:2281, zk2:2281"),
            "coordination.zookeeper: 2 servers can spare no more than 1: add one, or leave one out",
        ),
        (
            several(tls=""),
            "coordination.zookeeper: no tls: whoever reaches the servers may rewrite what is recorded",
        ),
        (
            several(observers=OBSERVERS.rpartition(", {")[0]),
            "observers: 2 votes: when one is silent nothing is done; three can spare one",
        ),
        (
            several(observers=OBSERVERS.replace("{name: watch,", "{name: watch, site: north,")),
            "observers: all stand at the mail servers' sites: which of them is cut off, nobody could tell",
        ),
        (
            several(observers=OBSERVERS.replace(", address: 'w.example.com:7443'", "")),
            "observers: no address for watch: when it ends, its session is waited for",
        ),
    ],
    ids=["one server", "two servers", "no TLS", "two votes", "no third site", "no address"],
)
def test_what_may_surprise_is_said(loaded: Loaded, edit: Edit, warning: str) -> None:
    assert warning in loaded(edit).warnings


def test_a_certificate_that_is_not_there_or_is_a_key_is_named(problems: Problems, etc: Path) -> None:
    (etc / "zk.crt").write_text((etc / "ssh_key").read_text())
    tls = "tls: {ca_file: gone.pem, cert_file: zk.crt, key_file: ca.pem}"
    where = "line 18: coordination.zookeeper.tls"
    assert problems(several(tls=tls)) == (
        f"{where}.ca_file: {etc}/gone.pem does not exist",
        f"{where}.cert_file: {etc}/zk.crt holds no PEM certificate",
        f"{where}.key_file: {etc}/ca.pem is not a private key: name the one without .pub",
    )
