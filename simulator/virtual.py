"""An event loop on virtual time, with processes that can be stopped, continued and killed at any await.

A wait takes no time and nobody outside can be waited for: threads, name lookups and sockets raise, and
nothing to wait for is a deadlock. Every callback knows the process it belongs to by its context, so a
process stands still, or is gone, between any two steps of its tasks, without a word in their code.

Deterministic as long as what runs on it iterates over nothing unordered: callbacks run in the order they
were scheduled. The loop is our own below asyncio's public face (`_run_once` is all there is to one): most
of a simulation's time is spent in it.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)


def _nothing() -> None:
    """What is left of a callback that was cancelled."""


class _Call(asyncio.TimerHandle):
    """A callback that is due, in its context, of its process."""

    __slots__ = ("process",)

    _scheduled, _source_traceback, _repr = False, None, None

    def __init__(  # asyncio's own looks up debug modes that a virtual loop has not
        self, loop: "VirtualLoop", when: float, callback: Callable[..., object], args: tuple[Any, ...],
        context: Context | None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._when = when
        self._callback: Callable[..., object] = callback
        self._args = args
        self._context = context = context if context is not None else copy_context()
        self._cancelled = False
        self.process = context.get(_PROCESS)

    def cancel(self) -> None:
        self._cancelled = True
        self._callback, self._args = _nothing, ()

    def again(self) -> None:
        self._loop.soon(self)


class Process:
    """One process on a host. What belongs to it is started with `run`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self._held: list[_Call] = []
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
        for call in held:
            if not call.cancelled():
                call.again()

    def kill(self) -> None:
        """SIGKILL: nothing of it runs ever again, not even what would clean up."""
        self.alive = False

    def bury(self) -> None:
        """At the end of a run: let go of what a killed or stopped process still holds."""
        self.alive = True
        for task in self._tasks:
            task.cancel()
        self.proceed()

    def hold(self, call: _Call) -> None:
        self._held.append(call)


class VirtualLoop(asyncio.BaseEventLoop):
    """Instead of waiting for the world it moves the clock; nothing to wait for is a deadlock."""

    _stopping: bool  # asyncio's, as `_check_thread` and `_run_once` are
    _check_thread: Callable[[], None]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._due: deque[_Call] = deque()
        self._later: list[tuple[float, int, _Call]] = []
        self._count = 0

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        call = _Call(self, self._now, callback, args, context)
        self._due.append(call)
        return call

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        call = _Call(self, when, callback, args, context)
        self._count += 1
        heappush(self._later, (when, self._count, call))
        return call

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        when = self._now + delay
        call = _Call(self, when, callback, args, context)
        self._count += 1
        heappush(self._later, (when, self._count, call))
        return call

    def place(self) -> int:
        """A place in the order of what is due at one time, to be taken later by `call_in_place`."""
        self._count += 1
        return self._count

    def call_in_place(
        self, place: int, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context
    ) -> asyncio.TimerHandle:
        call = _Call(self, when, callback, args, context)
        heappush(self._later, (when, place, call))
        return call

    def soon(self, call: _Call) -> None:
        """What was held and has come due meanwhile."""
        self._due.append(call)

    def _run_once(self) -> None:
        """Turns until the loop is stopped: what is due runs, or waits until its process goes on; if nothing
        is due, the clock goes on to what comes next."""
        due, later = self._due, self._later
        while True:
            while later:
                when, _, call = later[0]
                if not call._cancelled:
                    if when > self._now:
                        if due:
                            break
                        self._now = when
                    due.append(call)
                heappop(later)
            if not due:
                raise RuntimeError(
                    f"deadlock at {self._now:.3f} s: nothing is due and nothing will ever happen"
                )
            for _ in range(len(due)):
                call = due.popleft()
                if call._cancelled:
                    continue
                process = call.process
                if process is not None and (process.stopped or not process.alive):
                    process.hold(call)
                    continue
                try:
                    call._context.run(call._callback, *call._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    what = {"message": f"Exception in {call!r}", "exception": error, "handle": call}
                    self.call_exception_handler(what)
            if self._stopping:
                return

    def _process_events(self, _events: Any) -> None:
        """There are none."""

    def close(self) -> None:
        self._due.clear()
        self._later.clear()
        super().close()

    def run_in_executor(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("threads have no virtual time")

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """From this very thread, as the handler of Ctrl-C does; others have no virtual time."""
        self._check_thread()
        return self.call_soon(callback, *args, context=context)

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


def sleep(seconds: float) -> "asyncio.Future[None]":
    """What asyncio's does, to be awaited at once; most of a run's events are these."""
    loop = running_loop()
    over: asyncio.Future[None] = asyncio.Future(loop=loop)
    loop.call_later(seconds, _over, over)
    return over


def _over(sleep: "asyncio.Future[None]") -> None:
    if not sleep.done():
        sleep.set_result(None)


def running_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own."""
    with _rarely_collected(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """A run makes millions of small values and hardly a cycle among them: what was there before it is not
    looked through again and again."""
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
