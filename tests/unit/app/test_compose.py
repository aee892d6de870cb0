"""The parts made of a configuration: every name, pace, security and server it says, and nothing else."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.doubles.letters import MemoryLetters, Shelf
from tests.unit.configs.good import FILES

import mailward.configs
from mailward.app.compose import BehindConnector, DnsPart, Parts, build
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.dns.drivers.embedded import EmbeddedTarget
from mailward.dns.drivers.rfc2136 import Rfc2136Target
from mailward.dns.servers import Server
from mailward.dns.verification import Verification
from mailward.fencing.ask import AskedHelper
from mailward.fencing.helper import NodeHelper
from mailward.fencing.local import LocalHelper
from mailward.fencing.near import NearFirst
from mailward.fencing.ssh import SshHelper
from mailward.health.dialogues import Account, ImapSettings, Security, SmtpSettings
from mailward.health.streams import StreamFailed, TcpConnector
from mailward.health.target import Target
from mailward.model.errors import ConfigError
from mailward.model.health import FailureKind
from mailward.model.replication import Confidence
from mailward.replication.sources.runner import SshAccount, SshRunner

DEPLOYMENTS = Path(mailward.configs.__file__).parent / "deployments"
HYBRID = (DEPLOYMENTS / "hybrid.yaml").read_text(encoding="utf-8")
STORE = "0123456789ab"

Edit = tuple[str, str]
Loaded = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """`loaded(*edits)`: hybrid.yaml with secrets of the test and each (old, new) replaced once."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)

    def run(*edits: Edit) -> Config:
        text = HYBRID.replace("/etc/mailward/", "")
        for old, new in edits:
            assert text.count(old) >= 1, f"{old!r} is not in the file"
            text = text.replace(old, new, 1)
        (tmp_path / "mailward.yaml").write_text(text)
        return load(tmp_path / "mailward.yaml", {})

    return run


def made_of(config: Config) -> Parts:
    return build(config, STORE, SystemClock())


def targets(parts: Parts, node: str = "mail-a") -> dict[str, Target]:
    (watched,) = (watched for watched in parts.watched if watched.name == node)
    return {target.service: target for target in watched.targets}


def verifying(part: DnsPart) -> tuple[Server, tuple[Server, ...] | None]:
    verification = part.publisher._verification
    assert isinstance(verification, Verification)
    return verification.primary, verification.servers


def test_every_part_has_the_name_of_the_configuration(loaded: Loaded) -> None:
    parts = made_of(loaded())
    assert set(parts.helpers) == set(parts.fences) == set(parts.lag_sources) == {"mail-a", "mail-b"}
    assert [watched.name for watched in parts.watched] == ["mail-a", "mail-b"]
    assert list(targets(parts)) == ["smtp", "submission", "imaps"]
    assert parts.policy.cluster == "example"
    (part,) = parts.dns.values()
    assert (list(parts.dns), part.driver.name, part.server) == (["primary"], "primary", None)
    assert isinstance(part.driver, Rfc2136Target)
    assert (parts.lag_sources["mail-a"].peer, parts.lag_sources["mail-b"].peer) == ("mail-b", "mail-a")
    assert parts.runners == {}


def test_a_target_goes_to_the_probe_address_and_to_the_nodes_own_port(loaded: Loaded) -> None:
    own = (
        "    # probe_address: 10.0.1.10",
        "    probe_address: 10.0.1.10\n    services: {imaps: {port: 10993}}",
    )
    parts = made_of(loaded(own))
    found = {}
    for node in ("mail-a", "mail-b"):
        for name, target in targets(parts, node).items():
            assert isinstance(target.direct, TcpConnector)
            found[node, name] = (target.direct.host, target.direct.port)
            assert target.node == node
    assert found == {
        ("mail-a", "smtp"): ("10.0.1.10", 25),
        ("mail-a", "submission"): ("10.0.1.10", 587),
        ("mail-a", "imaps"): ("10.0.1.10", 10993),
        ("mail-b", "smtp"): ("198.51.100.10", 25),
        ("mail-b", "submission"): ("198.51.100.10", 587),
        ("mail-b", "imaps"): ("198.51.100.10", 993),
    }


def test_each_service_has_a_pace_of_its_own(loaded: Loaded) -> None:
    imaps = "timeout_s: 1.2\n      # What makes it work: login, opening the mailbox.\n      work_timeout_s: 3"
    parts = made_of(
        loaded(
            (imaps, "timeout_s: 0.5\n      work_timeout_s: 2"),
            ("down_after: 2\n      up_after: 3", "down_after: 3\n      up_after: 4"),
            ("sentinel: true", "sentinel: false"),
            ("submission: {}", "submission: {probe: {interval_s: 10}}"),
        )
    )
    found = targets(parts)
    pace = found["imaps"].pace
    assert (pace.limits.connect_s, pace.limits.answer_s, pace.limits.work_s) == (0.5, 0.5, 2)
    assert pace.limits.total_s == 5.0
    assert (pace.thresholds.down_after, pace.thresholds.up_after) == (3, 4)
    assert found["submission"].pace.probe_s == 10
    assert found["submission"].pace.thresholds.stale_s == 40
    assert pace.thresholds.stale_s == 12
    assert (found["imaps"].held, found["submission"].held) == (False, True)


def test_security_follows_the_protocol_and_what_is_said_of_starttls(loaded: Loaded) -> None:
    more = "  smtps: {}\n  imap: {}\n  submission: {}\n"
    parts = made_of(loaded(("  submission: {}\n", more)))
    found = {name: target.settings.security for name, target in targets(parts).items()}
    assert found == {
        "smtp": Security.PLAIN,
        "smtps": Security.IMPLICIT,
        "imap": Security.STARTTLS,
        "submission": Security.STARTTLS,
        "imaps": Security.IMPLICIT,
    }
    with_certificate = {name for name, target in targets(parts).items() if target.tls is not None}
    assert with_certificate == {"smtps", "imap", "submission", "imaps"}
    said = targets(made_of(loaded(("starttls: false", "starttls: true"))))["smtp"]
    assert (said.settings.security, said.tls and said.tls.server_name) == (
        Security.STARTTLS,
        "mx.example.com",
    )


def test_probes_log_in_as_the_canary_where_people_do(loaded: Loaded) -> None:
    found = targets(
        made_of(loaded(("# rcpt: canary@", "rcpt: canary@"), ("mailbox: INBOX", "mailbox: Canary")))
    )
    account = Account("canary@example.com", "planted-password")
    smtp, submission, imaps = (found[name].settings for name in ("smtp", "submission", "imaps"))
    assert smtp == SmtpSettings(Security.PLAIN, None, "canary@example.com")
    assert submission == SmtpSettings(Security.STARTTLS, account, None)
    assert imaps == ImapSettings(Security.IMPLICIT, account, "Canary")


def test_a_way_behind_closed_ports_is_only_where_a_helper_is(loaded: Loaded) -> None:
    parts = made_of(loaded(("  mail-b:\n", "  mail-b:\n    helper: none\n")))
    assert (list(parts.helpers), list(parts.fences)) == (["mail-a"], ["mail-a"])
    assert [watched.helper for watched in parts.watched] == [parts.helpers["mail-a"], None]
    assert all(isinstance(target.behind, BehindConnector) for target in targets(parts).values())
    assert all(target.behind is None for target in targets(parts, "mail-b").values())


def test_a_zone_is_verified_on_its_primary_and_secondaries_or_whom_the_file_says(loaded: Loaded) -> None:
    primary, secondary = Server("192.0.2.53", 53), Server("198.51.100.53", 53)
    listed = made_of(loaded()).dns["primary"]
    assert verifying(listed) == (primary, (primary, secondary))
    said = made_of(loaded(("# verify: [198.51.100.53]", "verify: [198.51.100.54]"))).dns["primary"]
    assert verifying(said) == (primary, (primary, Server("198.51.100.54", 53)))


def test_a_zone_whose_servers_are_not_said_is_verified_on_those_it_names_itself(loaded: Loaded) -> None:
    part = made_of(loaded(("      secondaries: [198.51.100.53]\n", ""))).dns["primary"]
    assert verifying(part) == (Server("192.0.2.53", 53), None)


def test_an_embedded_zone_is_verified_where_this_host_reaches_it(loaded: Loaded, tmp_path: Path) -> None:
    config = loaded(
        ("    dns: [primary]\n", ""),
        ("  # Or the daemon answers itself",
         "  here: {embedded: {zone: mail.example.com, ns: [ns.example.com], listen: ['0.0.0.0:5353'],"
         f" state_file: {tmp_path}/zone.json}}}}\n  # Or"),
    )  # fmt: skip
    parts = made_of(config)
    part = parts.dns["here"]
    assert isinstance(part.driver, EmbeddedTarget)
    assert part.server is not None
    ours = Server("127.0.0.1", 5353)
    assert verifying(part) == (ours, (ours,))


def test_a_publisher_may_touch_the_endpoints_of_its_target_alone(loaded: Loaded) -> None:
    part = made_of(loaded()).dns["primary"]
    assert part.publisher._keys == (
        ("mail.example.com.", "A"), ("mail.example.com.", "AAAA"),
        ("mx.example.com.", "A"), ("mx.example.com.", "AAAA"),
    )  # fmt: skip
    assert part.publisher._endpoints == {"mail.example.com.", "mx.example.com."}


async def test_lag_is_measured_over_ssh_where_the_file_says_so(loaded: Loaded) -> None:
    ssh = "ssh: {port: 1, key_file: ssh_key, known_hosts_file: known_hosts}"
    config = loaded(
        ("    # probe_address: 10.0.1.10", "    probe_address: 127.0.0.1"),
        ("    # helper: {", f"    replication: {{{ssh}}}\n    # helper: {{"),
    )
    parts = made_of(config)
    assert set(parts.runners) == {"mail-a"}
    assert set(parts.lag_sources) == {"mail-a", "mail-b"}
    (lag,) = await parts.lag_sources["mail-a"].measure()
    assert (lag.confidence, lag.measured_by) == (Confidence.UNKNOWN, "doveadm by SSH")
    assert lag.detail.startswith(("denied: SSH: ", "refused: SSH: nobody listens on port 1"))
    await parts.close()


async def test_what_is_held_open_for_measuring_is_closed_with_the_parts(loaded: Loaded) -> None:
    class Held(SshRunner):
        closed = False

        async def close(self) -> None:
            self.closed = True

    held = Held(SshAccount("127.0.0.1", "lag", Path("key"), Path("hosts")))
    await replace(made_of(loaded()), runners={"mail-a": held}).close()
    assert held.closed


async def test_nothing_is_measured_where_nothing_is_replicated(loaded: Loaded) -> None:
    config = loaded()
    alone = config.model_copy(update={"replication": None, "nodes": {
        name: node.model_copy(update={"replication": None}) for name, node in config.nodes.items()
    }})  # fmt: skip
    assert made_of(alone).lag_sources == {}


def test_lag_of_more_or_fewer_than_two_nodes_is_a_mistake_with_its_path(loaded: Loaded) -> None:
    config = loaded()
    alone = config.model_copy(update={"nodes": {"mail-a": config.nodes["mail-a"]}})
    with pytest.raises(ConfigError) as caught:
        made_of(alone)
    assert caught.value.problems == (
        "nodes.mail-a.replication: Dovecot 2.3 replicates between two nodes, here are 1; write"
        " `replication: none` for the others",
    )


def test_what_makes_no_dns_target_is_a_mistake_with_its_path(loaded: Loaded, tmp_path: Path) -> None:
    config = loaded()
    rfc2136 = config.dns["primary"].rfc2136
    assert rfc2136 is not None
    tsig = rfc2136.tsig.model_copy(update={"algorithm": "hmac-md2"})
    broken = config.dns["primary"].model_copy(update={"rfc2136": rfc2136.model_copy(update={"tsig": tsig})})
    with pytest.raises(ConfigError) as caught:
        made_of(config.model_copy(update={"dns": {"primary": broken}}))
    (problem,) = caught.value.problems
    assert problem.startswith("dns.primary: DNS target primary: no algorithm 'hmac-md2'; known: ")


def test_certificates_that_cannot_be_read_are_a_mistake_with_their_path(
    loaded: Loaded, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    config = loaded(("# tls: {ca_file: ca.pem}", "tls: {ca_file: ca.pem}"))
    with pytest.raises(ConfigError) as caught:
        made_of(config)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/ca.pem: no PEM certificates in it")


# behind closed ports


class Pipes(NodeHelper):
    """A helper that connects, or fails, as a test says."""

    def __init__(self, answer: socket.socket | OSError) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def connect(self, service: str) -> socket.socket:
        self.asked.append(service)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


async def test_bytes_go_through_the_helper_to_the_service() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    helper = Pipes(ours)
    stream = await BehindConnector(helper, "imaps").connect()
    theirs.sendall(b"* OK ready\r\n")
    async with asyncio.timeout(2):
        assert await stream.read() == b"* OK ready\r\n"
    await stream.write(b"a NOOP\r\n")
    assert theirs.recv(100) == b"a NOOP\r\n"
    stream.close()
    await asyncio.sleep(0)
    theirs.close()
    assert helper.asked == ["imaps"]


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), TimeoutError("late")])
async def test_the_services_own_refusal_is_the_services(error: OSError) -> None:
    with pytest.raises(type(error)) as caught:
        await BehindConnector(Pipes(error), "imaps").connect()
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        OSError("the helper cannot connect: no hello within 2.5 s"),
        ConnectionResetError("the SSH session ended"),
        BrokenPipeError("gone"),
        PermissionError("denied"),
    ],
)
async def test_that_the_helper_fails_says_nothing_of_the_service(error: OSError) -> None:
    with pytest.raises(StreamFailed) as caught:
        await BehindConnector(Pipes(error), "imaps").connect()
    assert (caught.value.kind, caught.value.detail) == (FailureKind.LOCAL, str(error))
    assert caught.value.__cause__ is error


# the way through the store


BESIDE = """\
observers: [{name: eye, node: mail-a}, {name: watch, node: mail-b}, {name: witness}]
observer: %s
"""


def of_a_cluster(tmp_path: Path, observer: str) -> Config:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    text = (DEPLOYMENTS / "cluster.yaml").read_text(encoding="utf-8").replace("/etc/mailward/", "")
    store = "coordination: {zookeeper: {servers: ['127.0.0.1:1']}}\n"
    (tmp_path / "mailward.yaml").write_text(text + store + BESIDE % observer)
    return load(tmp_path / "mailward.yaml", {})


def ways(parts: Parts) -> dict[str, tuple[type[NodeHelper], str]]:
    return {name: (type(way.helper), way.helper.name) for name, way in parts.asked.items()}


@pytest.mark.parametrize(
    ("observer", "beside", "expected"),
    [
        ("witness", None, {"mail-a": (AskedHelper, "ask"), "mail-b": (AskedHelper, "ask")}),
        ("eye", "mail-a", {"mail-a": (LocalHelper, "local"), "mail-b": (AskedHelper, "ask")}),
    ],
)
def test_who_is_beside_a_node_is_asked_for_it_and_asks_nobody_itself(
    tmp_path: Path, observer: str, beside: str | None, expected: object
) -> None:
    config = of_a_cluster(tmp_path, observer)
    parts = build(config, STORE, SystemClock(), letters=MemoryLetters(Shelf()))
    assert ways(parts) == expected
    assert (parts.beside.node if parts.beside is not None else None) == beside
    near = [watched.name for watched in parts.watched if isinstance(watched.helper, LocalHelper)]
    assert near == ([beside] if beside is not None else []), "its own node it reads without SSH"
    assert {type(helper) for helper in parts.helpers.values()} == {SshHelper}


def test_a_lease_is_renewed_on_this_host_first_where_its_helper_is_here(tmp_path: Path) -> None:
    parts = build(of_a_cluster(tmp_path, "eye"), STORE, SystemClock(), letters=MemoryLetters(Shelf()))
    assert isinstance(parts.renewer("mail-a", 15.0), NearFirst)
    assert isinstance(parts.renewer("mail-b", 15.0), SshHelper)
    parts = build(of_a_cluster(tmp_path, "eye"), STORE, SystemClock())
    assert isinstance(parts.renewer("mail-a", 15.0), SshHelper)


def test_where_nothing_carries_letters_nobody_is_asked(tmp_path: Path) -> None:
    parts = build(of_a_cluster(tmp_path, "eye"), STORE, SystemClock())
    assert (parts.asked, parts.beside) == ({}, None)
