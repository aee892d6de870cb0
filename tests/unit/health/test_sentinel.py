"""The held connection: what it notices and when, and what it spares the server. Virtual time."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.health import virtual
from tests.unit.health.conftest import Authority
from tests.unit.health.scripted import Loopback, MemoryServer

from mailward.health.dialogues import ImapSettings, Security, SmtpSettings
from mailward.health.sentinel import Sentinel
from mailward.health.streams import TcpConnector
from mailward.health.target import Pace, Target
from mailward.health.tls import TlsClient, client_context

PACE = Pace()


class Scene:
    """A sentinel, its server, and when it called."""

    def __init__(self, pace: Pace) -> None:
        self.server = MemoryServer()
        self.alarms: list[tuple[float, str]] = []
        self.wanted = True
        target = Target("mail-a", "smtp", SmtpSettings(), self.server, pace=pace)
        self.sentinel = Sentinel(target, lambda: self.wanted, self._alarm, random.Random(1))

    def _alarm(self, why: str) -> None:
        self.alarms.append((asyncio.get_running_loop().time(), why))

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()


def play(story: Callable[[Scene], Awaitable[None]], pace: Pace = PACE) -> Scene:
    scene = Scene(pace)

    async def body() -> None:
        task = asyncio.create_task(scene.sentinel.run())
        await story(scene)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(body())
    return scene


def test_it_asks_about_once_a_second_and_says_nothing_while_all_is_well() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(30)

    scene = play(story)
    assert scene.alarms == []
    assert scene.server.commands[0] == b"EHLO"
    assert 29 <= scene.server.commands.count(b"NOOP") <= 31
    assert len(scene.server.connects) == 1


@pytest.mark.parametrize(
    ("reset", "why"), [(False, "closed at noop"), (True, "reset at noop")], ids=["FIN", "RST"]
)
def test_a_crash_is_noticed_at_once(reset: bool, why: str) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.5)
        scene.server.die(reset)
        died_s = scene.now
        await asyncio.sleep(0)
        await asyncio.sleep(20)
        assert scene.alarms == [(died_s, why)]

    play(story)


def test_a_hang_is_noticed_by_the_next_noop() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.5)
        scene.server.hung = True
        hung_s = scene.now
        await asyncio.sleep(5)
        assert len(scene.alarms) == 1
        when_s, why = scene.alarms[0]
        assert why == "no answer to NOOP in 0.8 s"
        assert when_s - hung_s <= PACE.noop_s + PACE.noop_answer_s

    play(story)


def test_the_connection_is_renewed_before_a_server_would_mind() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(600)

    scene = play(story)
    assert scene.alarms == []
    gaps = [later - earlier for earlier, later in itertools.pairwise(scene.server.connects)]
    assert len(gaps) >= 6
    assert max(gaps) <= 82
    assert scene.server.commands.count(b"QUIT") == len(gaps)
    assert scene.server.most_at_once == 1


def test_a_connection_is_never_older_than_servers_allow() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(600)

    scene = play(story, Pace(noops_per_connection=1_000_000))
    gaps = [later - earlier for earlier, later in itertools.pairwise(scene.server.connects)]
    assert len(gaps) == 3
    assert max(gaps) < 152


def test_a_renewal_that_is_refused_is_a_loss() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.alive = False  # the listener died, the held connection's process lives on
        await asyncio.sleep(90)
        assert [why for _, why in scene.alarms] == ["refused at connect"]

    play(story)


def test_a_server_that_was_never_there_is_not_lost_and_tried_ever_more_rarely() -> None:
    async def story(scene: Scene) -> None:
        scene.server.alive = False
        await asyncio.sleep(300)
        assert scene.alarms == []
        assert 12 <= len(scene.server.connects) <= 24

    play(story)


def test_a_server_that_drops_held_connections_is_not_pestered() -> None:
    async def story(scene: Scene) -> None:
        for _ in range(100):
            await asyncio.sleep(3)
            scene.server.drop()
        assert len(scene.server.connects) <= 24
        assert len(scene.alarms) <= 24

    play(story)


def test_when_the_service_is_up_again_it_is_held_at_once() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.die()
        await asyncio.sleep(200)
        scene.server.alive = True
        scene.sentinel.hurry()
        await asyncio.sleep(0.01)
        assert scene.sentinel.held

    play(story)


def test_while_our_own_rules_close_the_port_nothing_is_held_and_nothing_is_said() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.wanted = False
        scene.server.die()
        await asyncio.sleep(60)
        assert scene.alarms == []
        assert len(scene.server.connects) == 1
        scene.wanted = scene.server.alive = True
        await asyncio.sleep(2)
        assert scene.sentinel.held

    play(story)


def test_a_node_let_in_again_is_held_at_once() -> None:
    """A second without a held connection after a readmission made a crash cost a whole probe interval."""

    async def story(scene: Scene) -> None:
        scene.wanted = False
        await asyncio.sleep(10.2)
        scene.wanted = True
        scene.sentinel.hurry()
        await asyncio.sleep(0.01)
        assert scene.sentinel.held

    play(story)


def test_word_that_the_service_is_up_is_not_lost_while_a_try_is_failing() -> None:
    async def story(scene: Scene) -> None:
        scene.server.hung = True
        await asyncio.sleep(0.5)
        scene.server.hung = False
        scene.sentinel.hurry()
        await asyncio.sleep(PACE.limits.answer_s - 0.5 + 0.01)
        assert scene.sentinel.held

    play(story)


def test_when_it_is_not_wanted_any_more_it_leaves_politely() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.wanted = False
        await asyncio.sleep(2)
        assert scene.server.commands[-1] == b"QUIT"
        assert not scene.server.streams

    play(story)


def test_a_server_that_hangs_while_greeting_costs_one_deadline() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.drop()
        scene.server.hung = True
        await asyncio.sleep(20)
        assert not scene.sentinel.held
        assert scene.server.most_at_once == 1

    play(story)


def test_imap_is_asked_before_any_login() -> None:
    class Imap(MemoryServer):
        def answer(self, stream, line):  # type: ignore[no-untyped-def]
            tag, verb = line.split()[:2]
            self.commands.append(verb)
            stream.push(tag + b" OK\r\n")

    server = Imap(b"* OK ready\r\n")

    async def body() -> None:
        target = Target("mail-a", "imap", ImapSettings(), server)
        task = asyncio.create_task(Sentinel(target, lambda: True, lambda why: None, random.Random(1)).run())
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(body())
    assert set(server.commands) == {b"NOOP", b"LOGOUT"}


async def test_a_connection_is_held_inside_tls(authority: Authority) -> None:
    asked, alarmed, drop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        for _ in range(3):
            tag = (await reader.readline()).split()[0]
            writer.write(tag + b" OK\r\n")
        asked.set()
        await drop.wait()

    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(handler, ssl=authority.server("mail-a.test")) as port:
        pace = Pace(noop_s=0.01, noop_answer_s=5.0)
        connector = TcpConnector("127.0.0.1", port)
        target = Target("mail-a", "imaps", ImapSettings(Security.IMPLICIT), connector, tls, pace=pace)
        sentinel = Sentinel(target, lambda: True, lambda why: alarmed.set(), random.Random(1))
        task = asyncio.create_task(sentinel.run())
        async with asyncio.timeout(10):
            await asked.wait()
            assert sentinel.held
            drop.set()
            await alarmed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
