"""Several daemons and ZooKeeper: what works as it is written, and would be found out at a bad time."""

import datetime
from pathlib import Path

import pytest
from tests.lab.harness import material
from tests.lab.harness.material import Authority
from tests.unit.configs.good import Edit, Loaded, Problems

TLS = "tls: {ca_file: ca.crt, cert_file: tls.crt, key_file: tls.key}"
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
def authority(etc: Path) -> Authority:
    authority = Authority(etc)
    authority.issue(etc, ["mail-a"], "192.0.2.10")
    return authority


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
            "coordination.zookeeper: 2 servers can spare 0, as 1 can: add one",
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
    tls = "tls: {ca_file: gone.pem, cert_file: zk.crt, key_file: ca.crt}"
    where = "line 18: coordination.zookeeper.tls"
    assert problems(several(tls=tls)) == (
        f"{where}.ca_file: {etc}/gone.pem does not exist",
        f"{where}.cert_file: {etc}/zk.crt holds no PEM certificate",
        f"{where}.key_file: {etc}/ca.crt is not a private key: name the one without .pub",
    )


# who is who


LINE = "line 18: coordination.zookeeper"


def test_another_observer_s_certificate_is_told_with_both_names(
    problems: Problems, etc: Path, authority: Authority
) -> None:
    authority.issue(etc, ["mail-b", "mail-a"], "192.0.2.11")
    said = (
        f"{LINE}.tls.cert_file: {etc}/tls.crt is 'CN=mail-b', which is no admin, and ZooKeeper knows mail-a"
    )
    assert problems(several()) == (f"{said} as 'CN=mail-a': write its `identity` if it has changed",)


def renamed() -> Edit:
    before, after = several(observers=OBSERVERS.replace("name: mail-a,", "name: north, identity: CN=mail-a,"))
    return before, after.replace("observer: mail-a", "observer: north")


def test_the_certificate_may_have_any_subject_that_the_file_says(
    loaded: Loaded, etc: Path, authority: Authority
) -> None:
    authority.issue(etc, ["mail-a", "north"], "192.0.2.10")
    assert loaded(renamed()).warnings == ()


def test_the_other_daemons_must_find_the_observer_s_name_in_it(problems: Problems, etc: Path) -> None:
    (said,) = problems(renamed())
    assert said == (
        f"{LINE}.tls.cert_file: it is made out to mail-a, and the other daemons know this one as north: "
        "add that as a DNS name"
    )


def test_an_admin_s_certificate_will_do(loaded: Loaded, etc: Path, authority: Authority) -> None:
    authority.issue(etc, ["anna"], "192.0.2.99")
    assert loaded(several(tls=f"{TLS}, admins: [CN=anna]")).warnings == ()


def test_a_key_of_another_certificate_is_told(problems: Problems, etc: Path, authority: Authority) -> None:
    (etc / "other").mkdir()
    authority.issue(etc / "other", ["mail-a"], "192.0.2.10")
    tls = TLS.replace("tls.key", "other/tls.key")
    said = f"{LINE}.tls.key_file: {etc}/other/tls.key is not the key of {etc}/tls.crt"
    assert problems(several(tls=tls)) == (said,)


def test_a_certificate_that_is_none_is_told_in_a_sentence(problems: Problems, etc: Path) -> None:
    (etc / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (said,) = problems(several())
    assert said.startswith(f"{LINE}.tls.cert_file: {etc}/tls.crt and {etc}/tls.key cannot be read as ")


def test_an_expired_certificate_is_told(
    loaded: Loaded, etc: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "VALID_FOR", datetime.timedelta(minutes=-1))
    authority.issue(etc, ["mail-a"], "192.0.2.10")
    (said,) = loaded(several()).warnings
    assert "has expired on" in said


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            several(observers=OBSERVERS.replace("name: watch,", "name: watch, identity: CN=mail-b,")),
            "line 20: observers[2].identity: 'CN=mail-b' is already mail-b: each has one of its own",
        ),
        (
            several(tls=f"{TLS}, admins: [CN=watch]"),
            f"{LINE}.admins[0]: 'CN=watch' is the observer watch: leave it out",
        ),
        (
            several(tls=f"{TLS}, admins: [anna]"),
            f"{LINE}.admins[0]: 'anna' is no subject: write it as in CN=anna,O=Example",
        ),
        (
            several(tls=f"{TLS}, admins: ['CN=anna, O=Example']"),
            f"{LINE}.admins[0]: 'CN=anna, O=Example' is no subject: write it as in CN=anna,O=Example",
        ),
        (
            several(tls=f"{TLS}, admins: ['CN=anna,O=A=B']"),
            f"{LINE}.admins[0]: 'CN=anna,O=A=B' is written otherwise by ZooKeeper: a certificate's subject "
            "has C, CN, DC, L, O, OU, ST, STREET or UID only, without = or # in them",
        ),
        (
            several(tls="admins: [CN=anna]"),
            f"{LINE}.admins: ZooKeeper knows nobody without tls or login: leave the line out",
        ),
        (
            several(tls="", observers=OBSERVERS.replace("name: watch,", "name: watch, identity: watch,")),
            "line 20: observers[2].identity: ZooKeeper knows nobody without tls or login: leave the line out",
        ),
        (
            several(tls="login: {user: anna, password_file: canary}"),
            f"{LINE}.login.user: 'anna' is no admin, and ZooKeeper knows mail-a as 'mail-a': "
            "write its `identity` if it has changed",
        ),
        (
            several(observers=OBSERVERS.replace("'b.example", "'a.example")),
            "line 20: observers[1].address: a.example.com:7443 is already that of mail-a",
        ),
    ],
    ids=[
        "twins",
        "observing admin",
        "no subject",
        "another spelling",
        "written otherwise",
        "admins unknown",
        "identity unknown",
        "another's user",
        "one address",
    ],
)
def test_who_is_who_must_be_clear(problems: Problems, edit: Edit, said: str) -> None:
    assert problems(edit) == (said,)


def test_two_stores_at_once_are_refused(problems: Problems) -> None:
    before, after = several()
    both = (before, after.replace("coordination: {", "coordination: {local: {directory: /srv}, "))
    assert problems(both) == (
        "line 18: coordination.local: zookeeper is the store here: leave this section out",
    )


def test_a_user_with_its_password_will_do_without_certificates(loaded: Loaded) -> None:
    config = loaded(several(tls="login: {user: mail-a, password_file: canary}"))
    zookeeper = config.coordination.zookeeper
    assert zookeeper is not None
    assert zookeeper.login is not None
    assert zookeeper.login.password.get_secret_value() == "planted-password"
    assert "planted" not in repr(config)
