"""What `mailward zookeeper setup` writes; that real servers run on it the lab shows, which is made of it."""

import re

import pytest

from mailward.controller.coordination.zookeeper.ensemble import Ensemble

THREE = ("zk-a.example.com:2281", "zk-b.example.com:2281", "zk-w.example.com:2281")


def settings(
    number: int, *, session_s: float = 10, tls: bool = True, servers: tuple[str, ...] = THREE
) -> dict[str, str]:
    text = Ensemble(servers, session_s, tls).files(number)["zoo.cfg"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("session_s", [4, 10, 60])
def test_the_session_that_daemons_ask_for_is_granted(session_s: float) -> None:
    """A server grants 2 to 20 of its ticks."""
    tick_s = int(settings(1, session_s=session_s)["tickTime"]) / 1000
    assert 2 * tick_s <= session_s <= 20 * tick_s


def test_all_servers_know_each_other_by_the_same_numbers() -> None:
    known = [{k: v for k, v in settings(n).items() if k.startswith("server.")} for n in (1, 2, 3)]
    assert known[0] == known[1] == known[2]
    assert known[0] == {
        "server.1": "zk-a.example.com:2888:3888",
        "server.2": "zk-b.example.com:2888:3888",
        "server.3": "zk-w.example.com:2888:3888",
    }
    assert Ensemble(THREE, 10, tls=True).files(2)["myid"] == "2\n"


def test_one_server_alone_is_no_ensemble() -> None:
    assert not [key for key in settings(1, servers=THREE[:1]) if key.startswith("server.")]


def test_with_tls_nothing_is_in_the_clear_and_clients_show_a_certificate() -> None:
    found = settings(3)
    assert "clientPort" not in found
    assert (found["secureClientPort"], found["ssl.clientAuth"], found["sslQuorum"]) == (
        "2281",
        "need",
        "true",
    )


def test_without_tls_nothing_of_it_is_written() -> None:
    found = settings(1, tls=False)
    assert found["clientPort"] == "2281"
    assert not [key for key in found if "ssl" in key.lower() or "secure" in key]


def test_a_disk_does_not_fill_up() -> None:
    found = settings(1)
    assert int(found["autopurge.purgeInterval"]) > 0
    assert int(found["preAllocSize"]) < 65536


def test_debian_s_class_path_is_completed_and_the_heap_bounded() -> None:
    environment = Ensemble(THREE, 10, tls=True).files(1)["environment"]
    assert "netty-codec.jar" in environment
    assert "netty-resolver.jar" in environment
    assert re.search(r"-Xmx\d+m", environment)


def test_with_users_nobody_connects_without_a_password_and_no_server_starts_before_they_are_written() -> None:
    files = Ensemble(THREE, 10, tls=False, users=("mail-a", "anna")).files(1)
    assert "enforce.auth.schemes=sasl" in files["zoo.cfg"]
    assert "-Djava.security.auth.login.config=/etc/zookeeper/conf/jaas.conf" in files["environment"]
    assert "user_mail-a=<password of mail-a>" in files["jaas.conf"], "not in quotes: it cannot be read"
    assert "jaas.conf" not in Ensemble(THREE, 10, tls=False).files(1)
