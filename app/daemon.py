"""The daemon: the one place where the parts are put together and run.

Order of start: the store (nothing is done without it, I14), the embedded name servers with their last
answers, the API, then observer and loop. A clean stop lets go of the store's lock, so that the next
controller may start at once; what was under way is for it to find out.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mailward.app.api import serve
from mailward.app.compose import Parts, build
from mailward.app.live import Counters, View
from mailward.app.notify import notify
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.controller.coordination.local import LocalStore
from mailward.controller.core.decide import rehearse
from mailward.controller.executor import Executor
from mailward.controller.loop import Loop
from mailward.controller.vantage import Vantages
from mailward.health.observer import Observer
from mailward.model.decision import Decision
from mailward.model.errors import StoreError
from mailward.model.orders import Outcome
from mailward.model.ports import Commit
from mailward.model.report import Report
from mailward.model.snapshot import ObserverView, Snapshot
from mailward.model.state import Pause, Request

log = logging.getLogger(__name__)

ENDING_TRIES, ENDING_S = 5, 1.0
STALLED_S = 30.0
"""A loop that has not finished a step for so long is reported as not ready, and to systemd."""


class Daemon:
    """One controller with the `local` store; `app.live.Live` for the API."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = config.observers[0].name
        self._clock = SystemClock()
        self._started = self._clock.now()
        self._store = LocalStore(
            Path(config.coordination.local.directory), observe_only=config.on_node is not None
        )
        self._parts: Parts | None = None
        self._observer: Observer | None = None
        self._loop: Loop | None = None
        self._last_step_s = self._started.boot_s
        self._vantages = Vantages()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. StoreError, ForeignStore, ConfigError or OSError end it early."""
        stop = asyncio.Event()
        running_loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running_loop.add_signal_handler(number, stop.set)
        async with self._running() as tasks:
            waiting = asyncio.create_task(stop.wait(), name="stop")
            done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            notify("STOPPING=1")
            for task in done:
                if task is not waiting:
                    task.result()
                    raise RuntimeError(f"the task {task.get_name()!r} ended by itself")
        log.info("stopped")

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        tasks: list[asyncio.Task[None]] = []
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._store.close)
            await self._store.lead()
            recorded = await self._store.read()
            self._vantages.update(recorded.state)
            parts = self._parts = build(self._config, recorded.state.store_id, self._clock)
            stack.push_async_callback(parts.close)
            for dns in parts.dns.values():
                if dns.server is not None:
                    await dns.server.start()
            self._observer = self._make_observer(parts)
            self._loop = self._make_loop(parts)
            api = self._config.api
            token = api.token.get_secret_value() if api.token else None
            listen = (api.listen.address, api.listen.port) if api.listen else None
            await stack.enter_async_context(serve(self, Path(api.socket), listen, token))
            for name, body in (
                ("observer", self._observer.run()),
                ("controller", self._loop.run()),
                ("systemd", self._tell_systemd()),
            ):
                tasks.append(asyncio.create_task(body, name=name))
            try:
                yield tasks
            finally:
                await _end(tasks)

    def _make_observer(self, parts: Parts) -> Observer:
        return Observer(
            name=self._name,
            config_digest=parts.policy.digest,
            nodes=parts.watched,
            lag_sources=tuple(parts.lag_sources.values()),
            vantage=self._vantages.of,
            clock=self._clock,
            publish=self._heard,
        )

    def _make_loop(self, parts: Parts) -> Loop:
        def executor_with(report: Callable[[Outcome], None]) -> Executor:
            return Executor(
                publishers={name: part.publisher for name, part in parts.dns.items()},
                fences=parts.ladders,
                lag_sources=parts.lag_sources,
                clock=self._clock,
                may_act_until_s=self._store.may_act_until_s,
                policy=parts.policy,
                report=report,
            )

        return Loop(
            policy=parts.policy,
            coordination=self._store,
            executor_with=executor_with,
            views=self._views,
            clock=self._clock,
            tilted=self._tilted,
            on_decision=self._decided,
        )

    # between observer and loop

    async def _heard(self, _report: Report) -> None:
        if self._loop is not None:
            self._loop.wake()

    def _tilted(self) -> bool:
        return self._observer is not None and self._observer.tilted()

    def _views(self) -> Sequence[ObserverView]:
        """Our own report as of now, and that nobody else has reported."""
        assert self._parts is not None
        assert self._observer is not None
        own = self._observer.report()
        return [
            ObserverView(observer.name, observer.votes, own if observer.name == self._name else None, 0.0)
            for observer in self._parts.policy.observers
        ]

    def _decided(self, snapshot: Snapshot, decision: Decision) -> None:
        self._last_step_s = snapshot.now.boot_s
        if self._vantages.update(decision.state) and self._observer is not None:
            self._observer.recheck()

    async def _tell_systemd(self) -> None:
        ready = False
        while True:
            problem = self._not_ready()
            if not ready and not problem:
                notify("READY=1")
                ready = True
            if self._clock.now().boot_s - self._last_step_s < STALLED_S:
                notify("WATCHDOG=1")
            notify(f"STATUS={problem or 'watching'}")
            await asyncio.sleep(1.0)

    # for the API

    def view(self) -> View:
        counters = self._loop.counters if self._loop else None
        return View(
            observer=self._name,
            started=self._started,
            now=self._clock.now(),
            snapshot=self._loop.snapshot if self._loop else None,
            decision=self._loop.decision if self._loop else None,
            not_ready=self._not_ready(),
            counters=Counters(
                rounds=counters.steps,
                last_round_s=counters.last_step_s,
                commits={Commit(name): count for name, count in counters.commits.items()},
                errors=counters.errors,
                orders_sent=counters.orders_sent,
            )
            if counters
            else Counters(),
        )

    def dry_run(self, request: Request) -> Decision:
        """The pure core on the newest snapshot with this request in it; nothing is recorded or sent."""
        if self._loop is None or self._loop.snapshot is None:
            raise StoreError("no decision has been made yet; try again in a second")
        return rehearse(replace(self._loop.snapshot, requests=(request,)))

    async def post(self, entry: Request | Pause | None) -> None:
        await self._store.post(entry)
        if self._loop is not None:
            self._loop.wake()

    def _not_ready(self) -> str:
        if self._loop is None or self._loop.decision is None:
            return "starting: nothing has been decided yet"
        if self._loop.problem:
            return self._loop.problem
        stalled = self._clock.now().boot_s - self._last_step_s
        if stalled > STALLED_S:
            return f"the controller has not finished a step for {stalled:.0f} s"
        return ""


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel, and again where a library swallowed it; what then still runs ends with the process."""
    for _ in range(ENDING_TRIES):
        left = [task for task in tasks if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=ENDING_S)
    log.error("did not end: %s", ", ".join(task.get_name() for task in tasks if not task.done()))
