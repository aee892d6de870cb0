"""Whose process has ended, by the connection held to it: an end is known, silence says nothing."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.lab.harness.material import Authority

from mailward.controller.clock import SystemClock
from mailward.controller.coordination.answering import Pace
from mailward.controller.coordination.peers import Peer, Peers, Told
from mailward.controller.coordination.tls import Tls
from mailward.model.report import NodeReport, Report
from mailward.model.snapshot import ObserverView

QUICK = Pace(answer_s=0.3, ask_s=0.05, retry_s=0.02, retry_max_s=0.05)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def watching(port: int, on_end: Callable[[], None] = lambda: None) -> Peers:
    return Peers("lab", "a", "a1", [Peer("b", "127.0.0.1", port)], SystemClock(), on_end=on_end, pace=QUICK)


@asynccontextmanager
async def running(peers: Peers, port: int | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(peers.run(("127.0.0.1", port) if port else None))
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def echo(question: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"asked": question}


def watched(
    nonce: str = "b1",
    name: str = "b",
    cluster: str = "lab",
    report: Callable[[], Report | None] = lambda: None,
) -> Peers:
    return Peers(cluster, name, nonce, [], SystemClock(), report=report, answer=echo, pace=QUICK)


@asynccontextmanager
async def answering(
    port: int, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[None]:
    """Somebody else listens there."""
    writers: list[asyncio.StreamWriter] = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await answer(reader, writer)

    server = await asyncio.start_server(noted, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


def ended(ours: Peers) -> tuple[str, ...]:
    return ours.gone


async def held(ours: Peers) -> None:
    await until(lambda: "b" in ours._known)


async def test_a_process_that_ends_is_seen_at_once_and_told_once(port: int) -> None:
    told: list[str] = []
    ours = watching(port, lambda: told.append("an end"))
    async with running(ours):
        async with running(watched(), port):
            await held(ours)
            await asyncio.sleep(0.2)
            assert ended(ours) == ()
        await until(lambda: ours.gone)
        await asyncio.sleep(0.2)
    assert ended(ours) == ("b1",)
    assert told == ["an end"]


async def test_one_started_again_is_another_process(port: int) -> None:
    """It was back before anybody had asked who listens there."""
    ours = watching(port)
    async with running(ours):
        async with running(watched("b1"), port):
            await held(ours)
        async with running(watched("b2"), port):
            await until(lambda: ours.gone)
            await asyncio.sleep(0.2)
            assert ended(ours) == ("b1",)
        await until(lambda: len(ours.gone) > 1)
    assert ended(ours) == ("b1", "b2")


async def test_a_connection_that_something_between_closes_is_no_end(port: int) -> None:
    ours, theirs = watching(port), watched()
    async with running(theirs, port), running(ours):
        await held(ours)
        for _ in range(5):
            for writer in list(theirs._answering._open):
                writer.transport.abort()
            await asyncio.sleep(0.05)
        assert ended(ours) == ()


async def test_one_that_stands_still_has_not_ended(port: int) -> None:
    """The host of a stopped process still takes connections for it."""
    hello = json.dumps({"cluster": "lab", "name": "b", "nonce": "b1"}).encode() + b"\n"

    async def says_who_it_is_and_no_more(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not ours._known:
            writer.write(hello)
        await asyncio.sleep(1.5)

    ours = watching(port)
    async with answering(port, says_who_it_is_and_no_more), running(ours):
        await held(ours)
        await asyncio.sleep(1.0)
        assert ended(ours) == ()


@pytest.mark.parametrize(
    "said", [b"", b"nonsense\n", b"[]\n", b"{}\n", b'{"nonce": 7}\n', b"x" * 2000, b"[" * 400 + b"\n"]
)
async def test_who_does_not_say_who_it_is_is_not_believed(port: int, said: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    ours = watching(port)
    async with answering(port, answer), running(ours):
        await asyncio.sleep(0.3)
        assert (ours._known, ended(ours)) == ({}, ())


@pytest.mark.parametrize(
    ("stranger", "said"),
    [(watched(name="c"), "it is 'c' of 'lab'"), (watched(cluster="another"), "it is 'b' of 'another'")],
)
async def test_a_daemon_of_another_name_or_cluster_is_not_the_one(
    port: int, stranger: Peers, said: str
) -> None:
    ours = watching(port)
    async with running(ours):
        async with running(stranger, port):
            await until(lambda: ours.apart["b"] == said)
        await asyncio.sleep(0.2)
        assert ended(ours) == ()


async def test_a_crowd_of_connections_keeps_none_of_the_others_out_for_long(port: int) -> None:
    theirs = watched()
    async with running(theirs, port):
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
        await asyncio.sleep(0.1)
        assert len(theirs._answering._open) <= 64
        for _, writer in crowd:
            writer.transport.abort()
        ours = watching(port)
        async with running(ours):
            await held(ours)


def identity(authority: Authority, folder: Path, name: str) -> Tls:
    (folder / name).mkdir()
    authority.issue(folder / name, [name], "127.0.0.1")
    return Tls(authority.ca_file, folder / name / "tls.crt", folder / name / "tls.key")


@pytest.mark.parametrize(
    ("shown", "asked_by", "known"), [("b", "a", True), ("c", "a", False), ("b", "stranger", False)]
)
async def test_both_sides_are_believed_by_their_certificates_alone(
    port: int, tmp_path: Path, shown: str, asked_by: str, known: bool
) -> None:
    authority = Authority(tmp_path)
    nobody = [Peer("a", "127.0.0.1", 1)]
    theirs = Peers("lab", "b", "b1", nobody, SystemClock(), identity(authority, tmp_path, shown), pace=QUICK)
    there = [Peer("b", "127.0.0.1", port)]
    ours = Peers("lab", "a", "a1", there, SystemClock(), identity(authority, tmp_path, asked_by), pace=QUICK)
    async with running(theirs, port), running(ours):
        if known:
            await held(ours)
        else:
            await until(lambda: "made out to c" in ours.apart["b"] or "it hangs up on us" in ours.apart["b"])
            assert not ours._known


async def test_who_is_admitted_is_answered_though_nobody_knows_where_it_is(port: int, tmp_path: Path) -> None:
    """Otherwise who has no address could ask nobody what it cannot see."""
    authority = Authority(tmp_path)
    theirs = Peers(
        "lab", "b", "b1", [], SystemClock(), identity(authority, tmp_path, "b"), admitted=["a"], pace=QUICK
    )
    there = [Peer("b", "127.0.0.1", port)]
    ours = Peers("lab", "a", "a1", there, SystemClock(), identity(authority, tmp_path, "a"), pace=QUICK)
    async with running(theirs, port), running(ours):
        await held(ours)


async def test_a_certificate_that_is_renewed_is_shown_without_a_restart(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    files = identity(authority, tmp_path, "c")
    nobody, there = [Peer("a", "127.0.0.1", 1)], [Peer("b", "127.0.0.1", port)]
    theirs = Peers("lab", "b", "b1", nobody, SystemClock(), files, pace=replace(QUICK, renewal_s=0.02))
    ours = Peers("lab", "a", "a1", there, SystemClock(), identity(authority, tmp_path, "a"), pace=QUICK)
    async with running(theirs, port), running(ours):
        await until(lambda: "made out to c" in ours.apart["b"])
        files.key_file.write_bytes(b"half a key")
        await until(lambda: "cannot be shown yet" in caplog.text)
        authority.issue(tmp_path / "c", ["b"], "127.0.0.1")
        await until(lambda: ours.apart["b"] == "")


async def test_another_process_under_the_name_shows_that_the_one_before_has_ended(port: int) -> None:
    """It was back so soon that nobody was ever refused."""
    said = iter([f"b{number}" for number in range(1, 100)])

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = {"cluster": "lab", "name": "b", "nonce": next(said)}
        writer.write(json.dumps(hello).encode() + b"\n")
        await asyncio.sleep(0.02)
        writer.transport.abort()

    ours = watching(port)
    async with answering(port, answer), running(ours):
        await until(lambda: len(ours.gone) > 1)
    assert ended(ours)[:2] == ("b1", "b2")


async def test_what_the_others_report_comes_directly_and_anew_each_time(port: int) -> None:
    seq = iter(range(1, 1_000))
    theirs = watched(report=lambda: Report("b", next(seq), "d1", (NodeReport("mail-a", ()),)))
    ours = watching(port)
    assert ours.apart == {"b": "not tried yet"}
    async with running(theirs, port), running(ours):
        await until(lambda: "b" in ours.told and ours.told["b"].report.seq > 2)
        told = ours.told["b"]
        assert told.report.nodes == (NodeReport("mail-a", ()),)
        assert 0 <= SystemClock().now().boot_s - told.asked_s < 2
        assert ours.apart == {"b": ""}
    async with running(ours):
        await until(lambda: ours.apart == {"b": "nobody listens there"})


async def test_a_report_in_another_s_name_is_not_believed_and_is_no_end(port: int) -> None:
    theirs = watched(report=lambda: Report("c", 1, "d1", ()))
    ours = watching(port)
    async with running(theirs, port), running(ours):
        await until(lambda: ours.apart == {"b": "it answered with a report of 'c'"})
        assert (ours.told, ended(ours)) == ({}, ())


async def test_a_question_is_answered_by_those_who_are_there(port: int) -> None:
    ours = watching(port)
    assert await ours.ask({"how": "are you"}, 1.0) == {}
    async with running(watched(), port):
        assert await ours.ask({"how": "are you"}, 1.0) == {"b": {"asked": {"how": "are you"}}}


async def test_an_answer_that_does_not_come_is_none(port: int) -> None:
    async def never(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(60)
        return {}

    theirs = Peers("lab", "b", "b1", [], SystemClock(), answer=never, pace=QUICK)
    async with running(theirs, port):
        assert await watching(port).ask({}, 0.3) == {}


async def test_who_is_another_is_not_asked(port: int) -> None:
    async with running(watched(name="c"), port):
        assert await watching(port).ask({}, 1.0) == {}


async def test_a_process_that_was_taken_for_ended_and_answers_is_not_gone(port: int) -> None:
    """Something between had refused in its place for a moment."""
    told: list[str] = []
    ours, theirs = watching(port, lambda: told.append("a change")), watched()
    async with running(ours):
        async with running(theirs, port):
            await held(ours)
        await until(lambda: ours.gone == ("b1",))
        async with running(theirs, port):
            await until(lambda: ours.gone == ())
    assert told == ["a change", "a change"]


async def test_who_says_nothing_is_hung_up_on(port: int) -> None:
    theirs = Peers("lab", "b", "b1", [], SystemClock(), pace=Pace(idle_s=0.2))
    async with running(theirs, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert json.loads(await reader.readline())["nonce"] == "b1"
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()
        await until(lambda: not theirs._answering._open)


async def test_a_certificate_that_cannot_be_read_just_now_ends_nothing(tmp_path: Path, port: int) -> None:
    """It is being renewed."""
    authority = Authority(tmp_path)
    tls, there = identity(authority, tmp_path, "a"), [Peer("b", "127.0.0.1", port)]
    key = tls.key_file.read_bytes()
    tls.key_file.write_bytes(b"")
    ours = Peers("lab", "a", "a1", there, SystemClock(), tls, pace=QUICK)
    known, its_own = [Peer("a", "127.0.0.1", 1)], identity(authority, tmp_path, "b")
    theirs = Peers("lab", "b", "b1", known, SystemClock(), its_own, pace=QUICK)
    async with running(theirs, port), running(ours):
        await until(lambda: "cannot be read" in ours.apart["b"])
        assert await ours.ask({}, 1.0) == {}
        tls.key_file.write_bytes(key)
        await until(lambda: ours.apart["b"] == "")


@pytest.mark.parametrize(("age_s", "seq"), [(1.0, 1), (60.0, 2), (float("inf"), 2), (None, 2)])
def test_what_came_directly_is_shown_where_it_is_newer(age_s: float | None, seq: int) -> None:
    ours = watching(1)
    stored = Report("b", 1, "d1", ()) if age_s is not None else None
    ours.told["b"] = Told(SystemClock().now().boot_s - 5.0, Report("b", 2, "d1", ()))
    others = ObserverView("c", 1, None, 0.0)
    shown, untold = ours.newer_than([ObserverView("b", 1, stored, age_s or 0.0), others])
    assert shown.report is not None
    assert shown.report.seq == seq
    assert shown.age_s == pytest.approx(1.0 if seq == 1 else 5.0, abs=1.0)
    assert untold == others
