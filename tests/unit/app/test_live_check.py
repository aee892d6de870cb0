"""`config check --live`: each connection is tried once, changes nothing, and is told in one line."""

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dns.rcode import REFUSED
from tests.unit.configs.good import FILES
from tests.unit.dns import dns_primary
from tests.unit.health.scripted import Loopback, script
from tests.unit.replication import dovecot

import mailward.app.commands.live_check as live
from mailward.app.commands.live_check import NOBODY, Tried, try_all
from mailward.app.compose import DnsPart, build
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.fencing.local import LocalHelper
from mailward.health.dialogues import SmtpSettings
from mailward.health.probe import Limits
from mailward.health.streams import TcpConnector
from mailward.health.target import Pace, Target
from mailward.model.dns import ReadFailure, RRset, ServerCheck, Unread, ZoneView
from mailward.model.fencing import CLOSED, OPEN, NodeFacts, Space, UnitState
from mailward.model.policy import Deployment
from mailward.model.token import Token

MAIL = RRset("mail.example.com.", "A", 60, ("127.0.0.1",))
TOKEN = Token("0123456789ab", 3, 7)
SMTP = (b"220 mail-a.test ESMTP\r\n", None, b"250 mail-a.test\r\n", None, b"221 bye\r\n")
ROOM = Space(1, 2, 3, 4)
CONFIG = """\
cluster: lab
deployment: hybrid
nodes:
  mail-a:
    {site: north, addresses: [127.0.0.1], services: {smtp: {port: %(a)d}},
     replication: {doveadm: {url: "http://127.0.0.1:%(b)d"}}}
  mail-b:
    {site: south, addresses: [127.0.0.2], services: {smtp: {port: %(b)d}},
     replication: {doveadm: {url: "http://127.0.0.2:%(b)d"}}}
helper: none
replication: {doveadm: {api_key_file: doveadm_key}}
services: {smtp: {}}
endpoints: {mail.example.com: {services: [smtp]}}
dns: {primary: {rfc2136: {server: 127.0.0.1, port: %(dns)d, zone: example.com,
  tsig: {name: ctl, secret_file: tsig}, verify: [127.0.0.1]}}}
coordination: {local: {directory: state}}
"""


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))
        yield held.getsockname()[1]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Config]:
    def run(a: int = 1, b: int = 1, dns: int = 1) -> Config:
        for name, content in {**FILES, "tsig": dns_primary.SECRET}.items():
            (tmp_path / name).write_text(content)
        (tmp_path / "mailward.yaml").write_text(CONFIG % {"a": a, "b": b, "dns": dns})
        return load(tmp_path / "mailward.yaml", {})

    return run


async def test_everything_is_tried_and_told_in_the_order_of_the_file(
    loaded: Callable[..., Config], closed_port: int, tmp_path: Path
) -> None:
    refuses = dns_primary.says(REFUSED)
    async with Loopback(script(*SMTP)) as port, dns_primary.primary(refuses) as (server, _):
        tried = await try_all(loaded(port, closed_port, server.port), SystemClock())
    assert [one.what for one in tried] == [
        *("mail-a smtp", "mail-b smtp", "mail-a replication", "mail-b replication"),
        *("DNS target primary", "store"),
    ]
    assert [one.works for one in tried] == [True, False, False, False, False, False]
    smtp_a, smtp_b, lag_a, _, dns, store = tried
    assert smtp_a.detail.startswith(f"port {port}: ")
    assert smtp_a.detail.endswith(" ms, answered by mail-a.test")
    assert smtp_b.detail == f"port {closed_port}: refused at connect"
    assert lag_a.detail.startswith("to mail-b: refused: connection refused")
    assert "REFUSED" in dns.detail
    assert store.detail == f"{tmp_path}/state holds none yet: mailward state init"
    assert not [one for one in tried if "planted" in one.detail or dns_primary.SECRET in one.detail]


async def test_a_store_that_is_there_works(loaded: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "store.json").write_text('{"store_id": "abcdef01"}')
    assert await live._store(loaded()) == (
        "abcdef01", Tried("store", True, f"{tmp_path}/state holds store abcdef01"),
    )  # fmt: skip


async def test_a_store_that_cannot_be_read_is_named(loaded: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "store.json").write_text("{}")
    _, tried = await live._store(loaded())
    assert (tried.works, tried.detail) == (False, f"{tmp_path}/state/store.json holds no store-id")


async def test_a_service_is_probed_with_its_own_patience() -> None:
    limits = Limits(connect_s=1.0, answer_s=0.1, work_s=0.1, total_s=1.0)
    async with Loopback(script(None)) as port:
        target = Target(
            "mail-a", "smtp", SmtpSettings(), TcpConnector("127.0.0.1", port), pace=Pace(limits=limits)
        )
        async with asyncio.timeout(0.8):
            tried = await live._probe("mail-a smtp", target, port)
    assert (tried.works, tried.detail.split(":")[1]) == (False, " timeout at banner")


@pytest.mark.parametrize(
    ("said", "works", "detail"),
    [
        ({"ports": {"smtp": CLOSED}}, True, "closed as ordered; behind it "),
        ({"ports": {"smtp": CLOSED}, "stopped": True}, True, "closed and stopped as ordered"),
        ({"ports": {"smtp": OPEN}}, False, "refused at connect"),
        ({"ports": {"smtp": CLOSED}, "applied": False}, False, "refused at connect"),
        ({"ports": {"smtp": CLOSED}, "applied": None}, False, "refused at connect"),
        ({"ports": {"imaps": CLOSED}}, False, "refused at connect"),
        ("no hello within 2.5 s", False, "refused at connect"),
    ],
)
async def test_a_port_that_is_closed_as_ordered_is_looked_behind(
    said: dict[str, Any] | str, works: bool, detail: str, closed_port: int
) -> None:
    """A standby of a healthy cluster refuses clients by design."""
    helper = cast(Any, Told(said if isinstance(said, str) else facts(**said)))
    async with Loopback(script(*SMTP)) as port:
        behind = TcpConnector("127.0.0.1", port)
        target = Target(
            "mail-b", "smtp", SmtpSettings(), TcpConnector("127.0.0.1", closed_port), behind=behind
        )
        tried = await live._probe("mail-b smtp", target, closed_port, helper)
        assert (tried.works, tried.closed) == (works, works)
        assert tried.detail.startswith(f"port {closed_port}: {detail}")
        assert not (await live._probe("mail-b smtp", target, closed_port)).works


async def test_behind_a_port_that_is_closed_as_ordered_the_service_has_to_answer(closed_port: int) -> None:
    way = TcpConnector("127.0.0.1", closed_port)
    target = Target("mail-b", "smtp", SmtpSettings(), way, behind=way)
    helper = cast(Any, Told(facts(ports={"smtp": CLOSED})))
    tried = await live._probe("mail-b smtp", target, closed_port, helper)
    detail = f"port {closed_port}: closed as ordered; behind it refused at connect"
    assert tried == Tried("mail-b smtp", False, detail, closed=True)


async def test_what_hangs_is_no_closed_port(closed_port: int) -> None:
    limits = Limits(connect_s=1.0, answer_s=0.1, work_s=0.1, total_s=1.0)
    async with Loopback(script(None)) as port, Loopback(script(*SMTP)) as behind:
        ways = TcpConnector("127.0.0.1", port), None, TcpConnector("127.0.0.1", behind)
        target = Target("mail-b", "smtp", SmtpSettings(), *ways, pace=Pace(limits=limits))
        helper = cast(Any, Told(facts(ports={"smtp": CLOSED})))
        assert not (await live._probe("mail-b smtp", target, port, helper)).works


NOBODY_SERVES = Tried("smtp anywhere", False, "closed as ordered on every node: nobody serves")


@pytest.mark.parametrize(
    ("deployment", "closed", "works", "serves"),
    [
        (Deployment.CLUSTER, ("mail-b",), (False, True), True),
        (Deployment.CLUSTER, ("mail-a", "mail-b"), (True, True), False),
        (Deployment.HYBRID, ("mail-a", "mail-b"), (False, False), True),
    ],
)
async def test_in_a_cluster_a_closed_port_is_right_but_not_on_every_node(
    loaded: Callable[..., Config], closed_port: int, monkeypatch: pytest.MonkeyPatch,
    deployment: Deployment, closed: Sequence[str], works: tuple[bool, bool], serves: bool,
) -> None:  # fmt: skip
    """Clients are refused by both nodes; as ordered by one of them, or by both."""
    config = loaded(closed_port, closed_port).model_copy(update={"deployment": deployment})
    parts = build(config, TOKEN.store_id, SystemClock())
    async with Loopback(script(*SMTP)) as port:
        behind, watched = TcpConnector("127.0.0.1", port), []
        for node in parts.watched:
            state = CLOSED if node.name in closed else OPEN
            helper = cast(Any, Told(facts(ports={"smtp": state}, boot="closed")))
            targets = tuple(replace(target, behind=behind) for target in node.targets)
            watched.append(replace(node, helper=helper, targets=targets))
        parts = replace(parts, watched=tuple(watched), lag_sources={}, dns={})
        monkeypatch.setattr(live, "build", lambda *_: parts)
        tried = await try_all(config, SystemClock())
    found = {one.what: one.works for one in tried}
    assert (found["mail-a smtp"], found["mail-b smtp"]) == works
    assert (NOBODY_SERVES not in tried) is serves


async def test_what_does_not_answer_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LIMIT_S", 0.02)

    async def hang() -> Tried:
        await asyncio.Event().wait()
        raise AssertionError

    tried = await live._bounded("mail-a helper", hang(), asyncio.Semaphore(1))
    assert tried == Tried("mail-a helper", False, "no answer within 0.02 s")


# helpers


@dataclass
class Told:
    """A helper that says this of its node."""

    facts: NodeFacts | str

    async def status(self) -> NodeFacts | str:
        return self.facts


def facts(services: Sequence[str] = ("smtp", "imaps"), **changed: Any) -> NodeFacts:
    known: dict[str, Any] = {
        "hostname": "mail-a", "boot_id": "b", "token": TOKEN, "ports": dict.fromkeys(services, OPEN),
        "applied": True, "units": {"dovecot.service": UnitState.ACTIVE}, "package_manager": False,
        "paths": {"/var/mail": ROOM},
    }  # fmt: skip
    return NodeFacts(**{**known, **changed})


UNREAD = Space(None, None, None, None)


@pytest.mark.parametrize(
    ("said", "works", "detail"),
    [
        (facts(), True, "mail-a answers; it obeys 0123456789ab.3.7"),
        (facts(token=None), True, "mail-a answers; it has obeyed nobody yet"),
        (facts(("smtp", "imaps", "more")), True, "mail-a answers; it obeys 0123456789ab.3.7"),
        ("no hello within 2.5 s", False, "no hello within 2.5 s"),
        (facts(("smtp",)), False, "its node.json does not list imaps; it would refuse every order"),
        (facts(paths={"/q": UNREAD, "/m": ROOM}), False, "it cannot read the free space of /q"),
    ],
)
async def test_a_helper_works_when_it_knows_the_services_and_its_room(
    said: NodeFacts | str, works: bool, detail: str
) -> None:
    tried = await live._helper("mail-a helper", cast(Any, Told(said)), {"smtp", "imaps"}, leased=False)
    assert tried == Tried("mail-a helper", works, detail)


@pytest.mark.parametrize(
    ("said", "works", "detail"),
    [
        (
            facts(firewall="nftables", lease_s=15.0, lease_left_s=13.0),
            True,
            "mail-a answers; it obeys 0123456789ab.3.7; its ports are leased for 15 s, 13 s left",
        ),
        (facts(firewall="nftables"), True, "mail-a answers; it obeys 0123456789ab.3.7"),
        (
            facts(firewall="iptables"),
            False,
            "policy.lease_s needs nftables on the node, its firewall is iptables",
        ),
        (facts(), False, "policy.lease_s needs nftables on the node, its firewall is none that is told"),
    ],
)
async def test_where_leases_are_wanted_the_firewall_must_know_them(
    said: NodeFacts, works: bool, detail: str
) -> None:
    tried = await live._helper("mail-a helper", cast(Any, Told(said)), {"smtp", "imaps"}, leased=True)
    assert tried == Tried("mail-a helper", works, detail)


@pytest.mark.parametrize(
    ("boot", "works", "detail"),
    [
        ("closed", True, "mail-a answers; it obeys 0123456789ab.3.7"),
        ("as-ordered", False, 'it opens by itself when it boots, and then two serve: write "boot": "closed"'),
        (None, False, "its mailward-node does not say whether the node boots closed: put that of this rel"),
    ],
)
async def test_a_node_of_a_cluster_has_to_boot_closed(boot: str | None, works: bool, detail: str) -> None:
    helper = cast(Any, Told(facts(boot=boot)))
    tried = await live._helper("mail-a helper", helper, {"smtp", "imaps"}, boots_closed=True)
    assert (tried.works, tried.detail[: len(detail)]) == (works, detail)
    assert (await live._helper("mail-a helper", helper, {"smtp", "imaps"})).works


async def test_only_in_a_cluster_it_is_asked_for(loaded: Callable[..., Config]) -> None:
    config = loaded()
    for deployment, works in ((Deployment.CLUSTER, False), (Deployment.HYBRID, True)):
        config = config.model_copy(update={"deployment": deployment})
        parts = build(config, TOKEN.store_id, SystemClock())
        node = replace(parts.watched[0], helper=cast(Any, Told(facts(("smtp",)))))
        tries = live._tries(config, replace(parts, watched=(node,)), TOKEN.store_id, live.Hosts())
        found = dict(tries)
        assert (await found.pop("mail-a helper")).works is works
        for trying in found.values():
            cast(Any, trying).close()
        await parts.close()


# replication


BESIDE = (
    ("deployment: hybrid", "deployment: cluster"),
    ("helper: none\n", "helper: {ssh: {key_file: ssh_key, known_hosts_file: known_hosts}}\n"),
    (
        "coordination: {local: {directory: state}}",
        "coordination: {zookeeper: {servers: ['127.0.0.1:1']}}\nobserver: eye\n"
        "observers: [{name: eye, node: mail-a}, {name: watch, node: mail-b}]",
    ),
)


def beside_a(tmp_path: Path, loaded: Callable[..., Config]) -> Config:
    """Of the daemon beside mail-a."""
    loaded()
    text = (tmp_path / "mailward.yaml").read_text()
    for old, new in BESIDE:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "mailward.yaml").write_text(text)
    return load(tmp_path / "mailward.yaml", {})


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        (("false",), " (as {user}, by sudo -n /usr/local/sbin/mailward-node serve)"),
        (("no-such-sudo",), "no-such-sudo: No such file or directory (as {user}, by sudo"),
    ],
)
async def test_beside_a_node_its_helper_is_started_as_the_daemon_does(
    loaded: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], detail: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(live, "LocalHelper", partial(LocalHelper, command))
    config = beside_a(tmp_path, loaded)
    tries = dict(live._tries(config, build(config, NOBODY, SystemClock()), NOBODY, live.Hosts()))
    (what,) = [each for each in tries if "from beside" in each]
    tried = await tries.pop(what)
    for each in tries.values():
        cast(Any, each).close()
    assert (what, tried.works) == ("mail-a helper, from beside it", False)
    assert detail.format(user=getpass.getuser()) in tried.detail


@pytest.mark.parametrize(
    ("others", "works", "detail"),
    [
        ((), None, ""),
        ((facts(), facts()), True, "the same host: mail-a"),
        (
            (facts(), facts(boot_id="0123456789")),
            False,
            "from beside answers mail-a (boot b); over SSH answers mail-a (boot b); through eye answers"
            " mail-a (boot 01234567): observers[].node or the addresses of mail-a name another host",
        ),
        (
            (facts(hostname="mail-b"),),
            False,
            "from beside answers mail-b (boot b); over SSH answers mail-a (boot b): observers[].node or the"
            " addresses of mail-a name another host",
        ),
    ],
)
def test_on_every_way_the_same_host_has_to_answer(
    others: Sequence[NodeFacts], works: bool | None, detail: str
) -> None:
    hosts = live.Hosts()
    for way, said in zip(("over SSH", "from beside", "through eye"), (facts(), *others), strict=False):
        hosts.note("mail-a", way)(said)
    hosts.note("mail-b", "over SSH")(facts(hostname="mail-b"))
    wanted = () if works is None else (Tried("mail-a on every way", works, detail),)
    assert hosts.compared() == wanted


async def test_a_node_beside_which_another_host_answers_is_told(
    loaded: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def connected(_: object) -> AsyncIterator[None]:
        yield

    def closing(said: NodeFacts) -> Any:
        async def close() -> None: ...

        return SimpleNamespace(status=Told(said).status, close=close)

    config = beside_a(tmp_path, loaded)
    parts = build(config, NOBODY, SystemClock())
    over_ssh = cast(Any, Told(facts(("smtp",))))
    monkeypatch.setattr(live, "build", lambda *_: replace(
        parts, watched=tuple(replace(each, helper=over_ssh, targets=()) for each in parts.watched),
        lag_sources={}, dns={},
    ))  # fmt: skip
    monkeypatch.setattr(live, "LocalHelper", lambda: closing(facts(("smtp",))))
    monkeypatch.setattr(live, "AskedHelper", lambda _, node: closing(facts(("smtp",), hostname=f"{node}2")))
    monkeypatch.setattr(live, "connected", connected)

    async def store(_: Config) -> tuple[str, Tried]:
        return "abcdef01", Tried("store", True, "")

    async def rights(*_: object) -> tuple[Tried, ...]:
        return ()

    monkeypatch.setattr(live, "_store", store)
    monkeypatch.setattr(live, "_rights", rights)
    found = {each.what: each for each in await try_all(config, SystemClock())}
    for node, ways in (
        ("mail-a", ["from beside", "over SSH", "through eye"]),
        ("mail-b", ["over SSH", "thr"]),
    ):
        tried = found[f"{node} on every way"]
        assert not tried.works
        assert f"answers {node}2 " in tried.detail
        assert all(way in tried.detail for way in ways)


async def test_replication_works_when_lag_is_known() -> None:
    tried = await live._lag("r", dovecot.source(dovecot.Replicator()))
    assert tried == Tried("r", True, "to mail-b: 0 s behind, 0 mailboxes wait")


async def test_replication_works_when_doveadm_answers_and_time_must_tell_the_rest() -> None:
    replicator = dovecot.Replicator()
    replicator.kill()
    source = dovecot.source(replicator)
    tried = await live._lag("r", source)
    assert tried.works
    assert "the replicator restarted" in tried.detail
    assert source.answered


async def test_replication_does_not_work_when_doveadm_does_not_answer() -> None:
    replicator = dovecot.Replicator()
    replicator.answers = False
    source = dovecot.source(replicator)
    tried = await live._lag("r", source)
    assert (tried.works, source.answered) == (False, False)
    assert tried.detail.startswith("to mail-b: ")
    replicator.answers = True
    assert (await live._lag("r", source)).works


# DNS


@dataclass
class Zone:
    """A driver and a publisher over this view and these servers."""

    view: ZoneView | Unread
    checks: tuple[ServerCheck, ...] = (ServerCheck("192.0.2.53:53", True),)
    read_keys: list[tuple[str, str]] = field(default_factory=list)
    verified: list[RRset] = field(default_factory=list)
    name: str = "primary"

    async def read(self, keys: Sequence[tuple[str, str]]) -> ZoneView | Unread:
        self.read_keys += keys
        return self.view

    async def verify(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        self.verified += rrsets
        return self.checks


async def dns(config: Config, zone: Zone, ours: str = "0123456789ab") -> Tried:
    part = DnsPart(cast(Any, zone), cast(Any, zone), None)
    return await live._dns("DNS target primary", config, part, ours)


async def test_a_target_works_when_all_servers_agree_with_what_it_holds(
    loaded: Callable[..., Config],
) -> None:
    zone = Zone(ZoneView(TOKEN, (MAIL,)))
    tried = await dns(loaded(), zone)
    assert tried == Tried(
        "DNS target primary", True, f"signed read works, all servers agree; it holds {MAIL}"
    )
    assert zone.read_keys == [("mail.example.com.", "A"), ("mail.example.com.", "AAAA")]
    assert zone.verified == [MAIL]


async def test_an_empty_zone_works(loaded: Callable[..., Config]) -> None:
    tried = await dns(loaded(), Zone(ZoneView(None, ())))
    assert (tried.works, tried.detail) == (
        True,
        "signed read works, all servers agree; it holds no address yet",
    )


async def test_a_zone_of_another_store_is_no_mistake_of_the_connection(
    loaded: Callable[..., Config],
) -> None:
    tried = await dns(loaded(), Zone(Unread(ReadFailure.FOREIGN, "token of another store", TOKEN)))
    assert (tried.works, tried.detail) == (True, "signed read works; token of another store")


async def test_where_our_store_is_not_known_nobody_is_advised_to_take_another_s_record_away(
    loaded: Callable[..., Config],
) -> None:
    foreign = Unread(ReadFailure.FOREIGN, "delete the record", TOKEN)
    tried = await dns(loaded(), Zone(foreign), live.NOBODY)
    assert tried.detail == "signed read works; whose record it holds cannot be told: see the store"


async def test_a_zone_that_cannot_be_read_does_not_work(loaded: Callable[..., Config]) -> None:
    tried = await dns(loaded(), Zone(Unread(ReadFailure.REFUSED, "BADKEY: write the key into named.conf")))
    assert (tried.works, tried.detail) == (False, "BADKEY: write the key into named.conf")


async def test_servers_that_do_not_agree_are_told(loaded: Callable[..., Config]) -> None:
    checks = (
        ServerCheck("192.0.2.53:53", True),
        ServerCheck("192.0.2.54:53", False, "no answer within 2 s"),
        ServerCheck("192.0.2.55:53", False, "it has no authority for mail.example.com."),
    )
    tried = await dns(loaded(), Zone(ZoneView(TOKEN, (MAIL,)), checks))
    assert (tried.works, tried.detail) == (
        False,
        "not every server agrees with the primary: 192.0.2.54:53: no answer within 2 s;"
        " 192.0.2.55:53: it has no authority for mail.example.com.",
    )
