"""A real BIND, primary and secondary, under the DNS driver: contract, late updates, refusals, publication."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from docker.models.containers import Container
from tests.contract.dns_bind import BindWorld
from tests.contract.dns_contract import (
    CLUSTER,
    IMAP_A,
    KEYS,
    MAIL_A,
    MAIL_AAAA,
    STORE,
    ZONE,
    DnsTargetContract,
    addresses,
    token,
    view,
)
from tests.lab.harness.engine import Engine, LabError, this_process
from tests.lab.harness.layout import Addresses
from tests.lab.harness.material import TsigKey
from tests.lab.harness.nameserver import ask
from tests.lab.harness.proxy import TcpProxy, is_dns_update
from tests.lab.harness.waiting import wait_until

from mailward.dns.drivers.rfc2136 import Rfc2136Settings, Rfc2136Target
from mailward.dns.publication import TargetPublisher
from mailward.dns.servers import Server
from mailward.dns.verification import Verification
from mailward.model.dns import ApplyResult, Change, ReadFailure, RRset, ServerCheck, Unread
from mailward.model.orders import Result
from mailward.model.token import NOTHING_SENT, Token

BOTH = RRset(*MAIL_A, 5, ("192.0.2.1", "192.0.2.2"))
SURVIVOR = RRset(*MAIL_A, 5, ("192.0.2.2",))


@dataclass(frozen=True)
class NameServers:
    """ns1 is the primary, ns2 its secondary; `settings` speaks to the primary."""

    addresses: Addresses
    primary: Container
    settings: Rfc2136Settings

    def target(self, **changed: object) -> Rfc2136Target:
        return Rfc2136Target(dataclasses.replace(self.settings, **changed), STORE)  # type: ignore[arg-type]

    def publisher(self) -> TargetPublisher:
        return TargetPublisher(
            self.target(),
            keys=[MAIL_A, MAIL_AAAA],
            endpoints=[MAIL_A[0]],
            verification=Verification(ZONE, self.settings.server),
        )

    def wait_answering(self) -> None:
        for server in (self.addresses.ns1, self.addresses.ns2):
            wait_until(partial(self._has_zone, server), f"{server} answers", 20, 0.05)

    @staticmethod
    def _has_zone(server: str) -> bool:
        return bool(ask(server, ZONE, "NS"))


@pytest.fixture(scope="module")
def name_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServers]:
    """Both name servers, alone in a network of their own."""
    folder = tmp_path_factory.mktemp("dns")
    try:
        engine = Engine(f"dns-{os.getpid()}", this_process())
        engine.require_images()
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)
    engine.remove_leftovers()
    try:
        net = engine.create_network()
        key = TsigKey.make(folder)
        start = partial(engine.run, image="mailward-lab/bind", volumes={str(folder): "/lab"})
        primary = start("ns1", address=net.ns1, env=net.of_bind("primary"))
        wait_until(lambda: ask(net.ns1, ZONE, "NS"), "the primary answers", 20, 0.05)
        start("ns2", address=net.ns2, env=net.of_bind("secondary"))
        settings = Rfc2136Settings(
            "ns1",
            CLUSTER,
            ZONE,
            Server(net.ns1),
            key.name,
            key.secret,
            secondaries=(Server(net.ns2),),
        )
        servers = NameServers(net, primary, settings)
        servers.wait_answering()
        yield servers
    finally:
        engine.remove_all()


@pytest.fixture
async def world(name_servers: NameServers) -> AsyncIterator[BindWorld]:
    empty = BindWorld(name_servers.settings)
    await empty.empty()
    yield empty
    await empty.close()


class TestContract(DnsTargetContract):
    """BIND passes what the memory and the embedded zone pass."""


@pytest.mark.parametrize("late", [token(1, 9), token(2, 1)], ids=["of an old epoch", "of an old seq"])
async def test_an_update_delivered_after_the_next_one_is_void(
    name_servers: NameServers, world: BindWorld, late: Token
) -> None:
    """Held by a proxy on the way; its sender waits no longer and the next update has passed it."""
    direct = world.target()
    await direct.apply(None, token(1, 0), [Change(*MAIL_A, BOTH)])
    with TcpProxy((name_servers.addresses.ns1, 53)) as proxy:
        delayed = name_servers.target(server=Server(*proxy.address), timeout_s=0.3)
        proxy.hold_next(is_dns_update)
        applied = await delayed.apply(token(1, 0), late, [addresses(MAIL_A, "192.0.2.9")])
        assert applied.result is ApplyResult.UNKNOWN
        proxy.wait_held(1)
        next_one = await direct.apply(token(1, 0), token(2, 5), [Change(*MAIL_A, SURVIVOR)])
        assert next_one.result is ApplyResult.APPLIED
        proxy.deliver()
        await asyncio.sleep(0.3)
    found = await view(direct)
    assert (found.token, found.rrsets) == (token(2, 5), (SURVIVOR,))


async def test_the_proxy_does_deliver_what_it_held(name_servers: NameServers, world: BindWorld) -> None:
    """So the test above shows the name server's refusal, not the network's loss."""
    direct = world.target()
    with TcpProxy((name_servers.addresses.ns1, 53)) as proxy:
        delayed = name_servers.target(server=Server(*proxy.address), timeout_s=0.3)
        proxy.hold_next(is_dns_update)
        applied = await delayed.apply(None, token(1, 0), [Change(*MAIL_A, BOTH)])
        assert applied.result is ApplyResult.UNKNOWN
        assert (await view(direct)).token is None
        proxy.deliver()
        await asyncio.sleep(0.3)
    assert (await view(direct)).token == token(1, 0)


class TestRefusals:
    async def test_a_name_that_is_not_granted_says_which_lines_to_add(self, world: BindWorld) -> None:
        target = world.target()
        await target.claim(None, token(1, 0))
        changes = [Change(*MAIL_A, BOTH), addresses(("www.example.test.", "A"), "192.0.2.1")]
        applied = await target.apply(token(1, 0), token(1, 1), changes)
        assert applied.result is ApplyResult.REFUSED
        assert "grant ctl. name www.example.test. A;" in applied.detail
        found = await view(target)
        assert (found.token, found.rrsets) == (token(1, 0), ())

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"key_secret": base64.b64encode(b"x" * 32).decode()}, "BADSIG: its secret of key ctl."),
            ({"key_name": "other"}, "BADKEY: it has no key other. (hmac-sha256)"),
            ({"key_algorithm": "hmac-sha512"}, "BADKEY: it has no key ctl. (hmac-sha512)"),
            ({"zone": "elsewhere.test"}, "not the primary of zone elsewhere.test."),
            ({"zone": "mail.example.test"}, "not the primary of zone mail.example.test."),
        ],
        ids=["secret", "key name", "algorithm", "zone", "a name as zone"],
    )
    async def test_a_wrong_setting_is_named(
        self, name_servers: NameServers, world: BindWorld, changed: dict[str, str], reason: str
    ) -> None:
        wrong = name_servers.target(**changed)
        applied = await wrong.claim(None, token(1, 0))
        assert applied.result is ApplyResult.REFUSED
        assert reason in applied.detail
        unread = await wrong.read(KEYS)
        assert isinstance(unread, Unread)
        assert unread.failure is ReadFailure.REFUSED
        assert (await view(world.target())).token is None

    async def test_clocks_apart_are_named(
        self, name_servers: NameServers, world: BindWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: now() + 900)
            applied = await world.target().claim(None, token(1, 0))
        assert applied.result is ApplyResult.REFUSED
        assert "BADTIME: the clocks of this host and the name server" in applied.detail

    async def test_a_secondary_refuses(self, name_servers: NameServers, world: BindWorld) -> None:
        applied = await name_servers.target(server=Server(name_servers.addresses.ns2)).claim(
            None, token(1, 0)
        )
        assert applied.result is ApplyResult.REFUSED
        assert "a secondary refuse" in applied.detail


async def agreeing(publisher: TargetPublisher, wanted: RRset, within_s: float) -> tuple[ServerCheck, ...]:
    """The checks once every server agrees."""
    deadline = time.monotonic() + within_s
    while True:
        checks = await publisher.verify([wanted])
        if all(check.agrees for check in checks):
            return checks
        assert time.monotonic() < deadline, checks


class TestPublication:
    async def test_what_is_published_is_answered_by_every_server_the_zone_names(
        self, name_servers: NameServers, world: BindWorld
    ) -> None:
        """Found by NS; the secondary hears of it by our NOTIFY."""
        publisher = name_servers.publisher()
        assert (await publisher.claim(token(1, 0), NOTHING_SENT)).result is Result.DONE
        for seq, wanted in enumerate([BOTH, SURVIVOR, BOTH, SURVIVOR], start=1):
            assert (await publisher.publish(token(1, seq), [wanted])).result is Result.DONE
            checks = await agreeing(publisher, wanted, 2)
            assert [check.server for check in checks] == [
                name_servers.addresses.ns1,
                name_servers.addresses.ns2,
            ]

    async def test_a_primary_that_hangs_leaves_it_unknown_and_the_next_token_settles_it(
        self, name_servers: NameServers, world: BindWorld
    ) -> None:
        """A frozen BIND has the update in its socket and makes it when it thaws, unless a later one won."""
        target = name_servers.target(timeout_s=0.5)
        await target.apply(None, token(1, 0), [Change(*MAIL_A, BOTH)])
        name_servers.primary.pause()
        try:
            assert isinstance(await target.read(KEYS), Unread)
            applied = await target.apply(token(1, 0), token(1, 1), [Change(*MAIL_A, SURVIVOR)])
        finally:
            name_servers.primary.unpause()
        assert applied.result is ApplyResult.UNKNOWN
        publisher = name_servers.publisher()
        published = await publisher.publish(token(1, 2), [BOTH])
        if published.result is not Result.DONE:
            assert published.result is Result.UNKNOWN  # the thawed update came between read and write
            published = await publisher.publish(token(1, 3), [BOTH])
        assert published.result is Result.DONE
        assert (await view(target, [MAIL_A, IMAP_A])).rrsets == (BOTH,)

    async def test_a_killed_primary_fails_in_time_and_comes_back_with_the_token(
        self, name_servers: NameServers, world: BindWorld
    ) -> None:
        publisher = name_servers.publisher()
        assert (await publisher.publish(token(1, 1), [SURVIVOR])).result is Result.DONE
        name_servers.primary.kill()
        try:
            started = time.monotonic()
            failed = await publisher.publish(token(1, 2), [BOTH])
            assert failed.result is Result.FAILED
            assert time.monotonic() - started < 6
        finally:
            name_servers.primary.start()
            name_servers.wait_answering()
        found = await view(world.target(), [MAIL_A])
        assert (found.token, found.rrsets) == (token(1, 1), (SURVIVOR,))
        assert (await publisher.publish(token(1, 3), [BOTH])).result is Result.DONE
