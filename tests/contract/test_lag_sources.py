"""What every `LagSource` does, whatever it measures with."""

from collections.abc import Callable

import pytest
from tests.unit.replication.dovecot import Replicator, source

from mailward.model.ports import LagSource
from mailward.model.replication import Confidence, Lag


class Dovecot23World:
    """A node `mail-a` replicating to `mail-b`, by Dovecot 2.3."""

    def __init__(self) -> None:
        self._replicator = Replicator()
        self.source: LagSource = source(self._replicator)

    def pass_s(self, seconds: float) -> None:
        self._replicator.pass_s(seconds)

    def cut_the_peer_off(self) -> None:
        self._replicator.peer = "black hole"

    def join_the_peer(self) -> None:
        self._replicator.peer = "up"

    def new_mail(self) -> None:
        self._replicator.change("u1")

    def stop_answering(self) -> None:
        self._replicator.answers = False

    def forget(self) -> None:
        self._replicator.dump = dict(self._replicator.users)
        self._replicator.kill()


WORLDS: list[Callable[[], Dovecot23World]] = [Dovecot23World]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Dovecot23World:
    made: Dovecot23World = request.param()
    return made


async def lag(world: Dovecot23World) -> Lag:
    (measured,) = await world.source.measure()
    assert (measured.source, measured.target) == ("mail-a", "mail-b")
    assert measured.measured_by
    assert (measured.seconds is None) == (measured.confidence is Confidence.UNKNOWN)
    assert (measured.mailboxes is None) == (measured.seconds is None)
    return measured


async def test_in_sync_is_known_and_nothing(world: Dovecot23World) -> None:
    measured = await lag(world)
    assert (measured.confidence, measured.seconds, measured.mailboxes) == (Confidence.KNOWN, 0.0, 0)


async def test_lag_grows_while_the_peer_is_cut_off_and_ends_when_it_is_back(world: Dovecot23World) -> None:
    await lag(world)
    world.cut_the_peer_off()
    world.new_mail()
    seen: list[float] = []
    for _ in range(20):
        world.pass_s(1.0)
        seconds = (await lag(world)).seconds
        assert seconds is not None
        seen.append(seconds)
    assert seen == sorted(set(seen))
    world.join_the_peer()
    world.pass_s(1.0)
    assert (await lag(world)).seconds == 0.0


async def test_no_answer_keeps_the_last_figure_as_stale_and_says_its_age(world: Dovecot23World) -> None:
    await lag(world)
    world.stop_answering()
    world.pass_s(9.0)
    measured = await lag(world)
    assert (measured.confidence, measured.seconds, measured.age_s) == (Confidence.STALE, 0.0, 9.0)
    assert measured.detail


async def test_never_an_answer_is_unknown(world: Dovecot23World) -> None:
    world.stop_answering()
    assert (await lag(world)).confidence is Confidence.UNKNOWN
    assert await world.source.kick()


async def test_what_has_lost_its_memory_is_unknown_until_a_kick_has_drained(world: Dovecot23World) -> None:
    await lag(world)
    world.forget()
    world.pass_s(1.0)
    measured = await lag(world)
    assert measured.confidence is Confidence.UNKNOWN
    assert measured.detail
    assert await world.source.kick() == ""
    for _ in range(10):
        world.pass_s(1.0)
        measured = await lag(world)
    assert (measured.confidence, measured.seconds) == (Confidence.KNOWN, 0.0)
