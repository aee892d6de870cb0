"""Virtual time, and processes that are stopped, continued and killed at any await."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from mailward.simulator import virtual
from mailward.simulator.virtual import Process


async def count(seen: list[float], every_s: float = 1.0) -> None:
    loop = asyncio.get_running_loop()
    while True:
        seen.append(loop.time())
        await asyncio.sleep(every_s)


def play(story: Callable[[Process], Awaitable[None]]) -> None:
    async def body() -> None:
        process = Process("p")
        await story(process)
        process.bury()
        await asyncio.sleep(0)

    virtual.run(body())


def test_an_hour_takes_no_time_and_is_an_hour() -> None:
    async def story(process: Process) -> None:
        seen: list[float] = []
        process.run(count(seen), "count")
        await asyncio.sleep(3599.5)
        assert seen == [float(n) for n in range(3600)]

    play(story)


def test_a_stopped_process_does_nothing_and_then_what_has_come_due() -> None:
    async def story(process: Process) -> None:
        seen: list[float] = []
        process.run(count(seen), "count")
        await asyncio.sleep(2.5)
        process.stop()
        await asyncio.sleep(10)
        assert seen == [0.0, 1.0, 2.0]
        process.proceed()
        await asyncio.sleep(1.2)
        assert seen == [0.0, 1.0, 2.0, 12.5, 13.5]

    play(story)


def test_a_killed_process_never_runs_again_not_even_to_clean_up() -> None:
    async def story(process: Process) -> None:
        cleaned: list[str] = []

        async def worker() -> None:
            try:
                await asyncio.sleep(5)
            finally:
                cleaned.append("up")

        process.run(worker(), "worker")
        await asyncio.sleep(1)
        process.kill()
        process.proceed()
        await asyncio.sleep(100)
        assert cleaned == []

    play(story)


def test_what_a_process_starts_is_stopped_with_it() -> None:
    async def story(process: Process) -> None:
        seen: list[float] = []

        async def parent() -> None:
            child = asyncio.create_task(count(seen))
            await child

        process.run(parent(), "parent")
        await asyncio.sleep(1.5)
        process.stop()
        await asyncio.sleep(10)
        assert len(seen) == 2

    play(story)


def test_a_timer_that_was_cancelled_while_its_process_stood_still_does_not_fire() -> None:
    async def story(process: Process) -> None:
        fired: list[str] = []

        async def worker() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(2.0, handles[0].cancel)
            await asyncio.sleep(100)

        async def timer() -> None:
            loop = asyncio.get_running_loop()
            handles.append(loop.call_later(3.0, fired.append, "timer"))
            await asyncio.sleep(100)

        handles: list[asyncio.TimerHandle] = []
        process.run(timer(), "timer")
        await asyncio.sleep(0)
        process.run(worker(), "worker")
        await asyncio.sleep(1)
        process.stop()
        await asyncio.sleep(10)
        process.proceed()
        await asyncio.sleep(1)
        assert fired == []

    play(story)


def test_nothing_to_wait_for_is_a_deadlock_and_says_when() -> None:
    async def body() -> None:
        await asyncio.sleep(7)
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match=r"deadlock at 7\.000 s"):
        virtual.run(body())


@pytest.mark.parametrize("what", ["thread", "name", "connection", "process", "socket"])
def test_nothing_outside_can_be_reached(what: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        if what == "thread":
            await asyncio.to_thread(print)
        elif what == "name":
            await loop.getaddrinfo("localhost", 25)
        elif what == "connection":
            await asyncio.open_connection("127.0.0.1", 25)
        elif what == "process":
            await asyncio.create_subprocess_exec("true")
        else:
            with socket.socket() as one:
                one.setblocking(False)
                await loop.sock_connect(one, ("127.0.0.1", 25))

    with pytest.raises(RuntimeError, match=r"no virtual time|outside the simulated|no resolver"):
        virtual.run(body())
