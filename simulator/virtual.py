"""An event loop on virtual time, with processes that can be stopped, continued and killed at any await.

A wait takes no time and nobody outside can be waited for: threads, name lookups and sockets raise, and
nothing to wait for is a deadlock. Every callback knows the process it belongs to by its context, so a
process stands still, or is gone, between any two steps of its tasks, without a word in their code.

Deterministic as long as what runs on it iterates over nothing unordered: callbacks run in the order they
were scheduled.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process:
    """One process on a host. What belongs to it is started with `run`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self._held: list[tuple[asyncio.Handle, Callable[..., object], tuple[Any, ...], Context]] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def run(self, body: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """A task of this process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        task = asyncio.get_running_loop().create_task(body, name=f"{self.name} {name}", context=context)
        self._tasks = [*(t for t in self._tasks if not t.done()), task]
        return task

    def stop(self) -> None:
        """SIGSTOP, or a virtual machine that is paused: its clock goes on."""
        self.stopped = True

    def proceed(self) -> None:
        """SIGCONT: what has come due meanwhile runs at once, in its order."""
        self.stopped = False
        if not self.alive:
            return
        held, self._held = self._held, []
        for handle, callback, args, context in held:
            asyncio.get_running_loop().call_soon(_unless_cancelled, handle, callback, args, context=context)

    def kill(self) -> None:
        """SIGKILL: nothing of it runs ever again, not even what would clean up."""
        self.alive = False

    def bury(self) -> None:
        """At the end of a run: let go of what a killed or stopped process still holds."""
        self.alive = True
        for task in self._tasks:
            task.cancel()
        self.proceed()

    def take(
        self, handle: asyncio.Handle, callback: Callable[..., object], args: tuple[Any, ...], context: Context
    ) -> None:
        if self.alive and not self.stopped:
            callback(*args)
        else:
            self._held.append((handle, callback, args, context))


def _unless_cancelled(handle: asyncio.Handle, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
    """What ran first of all that had come due may have cancelled it."""
    if not handle.cancelled():
        callback(*args)


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for the world it moves the clock; nothing to wait for is a deadlock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError(f"deadlock at {self.now:.3f} s: nothing is due and nothing will ever happen")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._world = _NoWaiting()
        super().__init__(self._world)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._world.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        context, process = _belonging(context)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        box: list[asyncio.Handle] = []
        box.append(super().call_soon(_within, process, box, callback, args, context, context=context))
        return box[0]

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context, process = _belonging(context)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        box: list[asyncio.Handle] = []
        handle = super().call_at(when, _within, process, box, callback, args, context, context=context)
        box.append(handle)
        return handle

    def run_in_executor(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("threads have no virtual time")

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        raise RuntimeError("threads have no virtual time")

    async def getaddrinfo(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there is no resolver outside the simulated one")

    async def create_connection(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there is no network outside the simulated one")

    async def create_datagram_endpoint(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there is no network outside the simulated one")

    async def create_server(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there is no network outside the simulated one")

    async def subprocess_exec(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there are no processes outside the simulated ones")

    subprocess_shell = subprocess_exec

    async def sock_connect(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("there is no network outside the simulated one")

    def add_reader(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("nothing outside can be waited for")

    add_writer = add_reader


def _belonging(context: Context | None) -> tuple[Context, Process | None]:
    context = context if context is not None else copy_context()
    return context, context.get(_PROCESS)


def _within(
    process: Process,
    box: list[asyncio.Handle],
    callback: Callable[..., object],
    args: tuple[Any, ...],
    context: Context,
) -> None:
    process.take(box[0], callback, args, context)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
