"""The daemon: the one place where the parts are put together and run.

Order of start: the power switches, whose options only their programs can judge, where this daemon may lead;
the API, which fails where another daemon answers; the store (nothing is done without it, I14); the host's
watchdog, where there is one, and word to systemd that it has started; and, once the store has been read, the
embedded name servers with their last answers, observer and loop. A clean stop leaves the store, so that the
next controller may lead at once; what was under way is for it to find out.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mailward.app.api import Listening, serve
from mailward.app.certificates import Certificates
from mailward.app.compose import Parts, build, devices_of, power_mistakes
from mailward.app.elsewhere import Place
from mailward.app.live import STALLED_S, Counters, View
from mailward.app.notify import notify
from mailward.app.peering import beside, listen_of, may_ever_act, observer_of, peers_of
from mailward.app.petting import keep, watchdog_of
from mailward.app.petting import stop as stop_petting
from mailward.app.rungs import Means, try_all
from mailward.app.status import RungTried
from mailward.app.stores import store_of
from mailward.configs.policy import policy_of
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock
from mailward.controller.core.decide import rehearse
from mailward.controller.executor import Executor
from mailward.controller.lease import LeaseKeeper
from mailward.controller.loop import Loop
from mailward.controller.promises import Promises, acts, is_asked_for
from mailward.controller.vantage import Vantages
from mailward.health.observer import Observer
from mailward.model.decision import Decision
from mailward.model.errors import ConfigError, NoRight, NoStore, StoreError, Unanswered
from mailward.model.orders import Outcome
from mailward.model.ports import Commit, Recorded
from mailward.model.report import Report
from mailward.model.snapshot import ObserverView, Snapshot
from mailward.model.state import Pause, Request

log = logging.getLogger(__name__)

ENDING_TRIES, ENDING_S = 5, 1.0
FIRST_READING_S = 0.2


class Daemon:
    """One observer and controller; `app.live.Live` for the API."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = observer_of(config)
        self._devices = devices_of(config)
        self._clock = SystemClock()
        self._started = self._clock.now()
        self._store = store_of(config, self._clock, self._wake)
        self._place = Place(config)
        self._certificates = Certificates(config)
        self._peers = peers_of(
            config, self._store.nonce, self._clock, self._own_report, self._tell_now, self._answer
        )
        self._promises = Promises(
            name=self._name, policy=policy_of(config), clock=self._clock, may_act=self._acts,
            ask=self._peers.ask,
        )  # fmt: skip
        self._keeper: LeaseKeeper | None = None
        self._waits_for = self._unpublished = ""
        self._parts: Parts | None = None
        self._observer: Observer | None = None
        self._loop: Loop | None = None
        self._last_step_s = self._started.boot_s
        self._vantages = Vantages()
        self._readings = 0

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. StoreError, ForeignStore, ConfigError or OSError end it early."""
        stop = asyncio.Event()
        running_loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running_loop.add_signal_handler(number, stop.set)
        await self._refuse_wrong_switches()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._api())
            stack.push_async_callback(self._store.leave)
            await self._store.lead(willing=not self._promises.binds())
            watchdog = watchdog_of(self._config.watchdog)
            bodies = {
                "store": self._store.run(),
                "work": self._work(),
                "peers": self._peers.run(listen_of(self._config)),
                "systemd": self._tell_systemd(),
            }
            if watchdog is not None:
                stack.callback(stop_petting, watchdog)
                bodies["watchdog"] = keep(watchdog, self._turns, self._clock)
            await _until(stop, bodies)
        log.info("stopped")

    async def _refuse_wrong_switches(self) -> None:
        """ConfigError with everything that is wrong with them; who never leads never uses them."""
        if may_ever_act(self._config) and (wrong := await power_mistakes(self._devices)):
            raise ConfigError(wrong)

    def _api(self) -> contextlib.AbstractAsyncContextManager[Listening]:
        api = self._config.api
        token = api.token.get_secret_value() if api.token else None
        listen = (api.listen.address, api.listen.port) if api.listen else None
        return serve(self, Path(api.socket), listen, token)

    async def _work(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            recorded = await self._first_reading()
            self._vantages.update(recorded.state)
            parts = self._parts = self._build(recorded.state.store_id)
            stack.push_async_callback(parts.close)
            for dns in parts.dns.values():
                if dns.server is not None:
                    await dns.server.start()
            self._keeper = self._make_keeper(parts)
            self._observer = self._make_observer(parts)
            self._loop = self._make_loop(parts)
            bodies = {"observer": self._observer.run(), "controller": self._loop.run()}
            if self._keeper is not None:
                bodies["lease"] = self._keeper.run()
            if parts.beside is not None:
                bodies["answers"] = parts.beside.answering.run()
            await _until(None, bodies)

    def _build(self, store_id: str) -> Parts:
        others = self._peers if self._config.coordination.zookeeper is not None else None
        return build(self._config, store_id, self._clock, others, self._devices, self._store.letters)

    async def _first_reading(self) -> Recorded:
        """Servers that do not answer yet are waited for, a store that is to be made in them, and the right to
        read it."""
        while True:
            self._readings += 1
            self._last_step_s = self._clock.now().boot_s  # to wait is work: systemd leaves it alone
            try:
                return await self._store.read()
            except (Unanswered, NoStore, NoRight) as error:
                if str(error) != self._waits_for:
                    log.warning("waiting for the store: %s", error)
                self._waits_for = str(error)
            await asyncio.sleep(FIRST_READING_S)

    def _make_keeper(self, parts: Parts) -> LeaseKeeper | None:
        """For the lease of the node beside us, where there are leases."""
        node, lease_s = beside(self._config), parts.policy.rules.lease_s
        if node is None or lease_s is None:
            return None
        return LeaseKeeper(
            node=node,
            policy=parts.policy,
            helper=parts.renewer(node, lease_s),
            clock=self._clock,
            publish=self._publish_now,
            read=self._store.recorded,
            promised=self._promises.all_given,
        )

    def _make_observer(self, parts: Parts) -> Observer:
        return Observer(
            name=self._name,
            config_digest=parts.policy.digest,
            nodes=parts.watched,
            lag_sources=tuple(parts.lag_sources.values()),
            vantage=self._vantages.of,
            clock=self._clock,
            publish=self._heard,
            gone=lambda: self._peers.gone,
            lease=lambda: self._keeper.report() if self._keeper is not None else None,
        )

    def _make_loop(self, parts: Parts) -> Loop:
        def executor_with(report: Callable[[Outcome], None]) -> Executor:
            return Executor(
                publishers={name: part.publisher for name, part in parts.dns.items()},
                fences=parts.fences,
                asked={name: way.fence for name, way in parts.asked.items()},
                switches=parts.devices,
                lag_sources=parts.lag_sources,
                clock=self._clock,
                may_act_until_s=self._store.may_act_until_s,
                policy=parts.policy,
                report=report,
            )

        return Loop(
            name=self._name,
            policy=parts.policy,
            coordination=self._store,
            executor_with=executor_with,
            views=self._views,
            views_apart=self._views_apart,
            clock=self._clock,
            tilted=self._tilted,
            bound=self._promises.binds,
            on_decision=self._decided,
        )

    # between observer and loop

    async def _heard(self, report: Report) -> None:
        self._wake()
        trouble = ""
        try:
            await self._store.publish(report)
        except StoreError as error:
            trouble = str(error)
        if trouble and trouble != self._unpublished:
            log.warning("what this daemon sees reaches nobody, and its vote does not count: %s", trouble)
        self._unpublished = trouble

    async def _publish_now(self) -> None:
        """StoreError when our report as of now was not acknowledged."""
        assert self._observer is not None
        await self._store.publish(self._observer.report())

    def _acts(self) -> str:
        return acts(leads=self._loop is not None and self._loop.leads, in_touch=self._store.in_touch)

    async def _answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """What other daemons ask."""
        give = self._promises.give if is_asked_for(question) else self._place.answer
        return await give(question)

    def _tell_now(self) -> None:
        if self._observer is not None:
            self._observer.tell_now()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.wake()

    def _tilted(self) -> bool:
        return self._observer is not None and self._observer.tilted()

    def _own_report(self) -> Report | None:
        return self._observer.report() if self._observer is not None else None

    def _views(self) -> Sequence[ObserverView]:
        """Our own report as of now, and what the store has of the others."""
        return self._with_our_own(self._store.views())

    def _views_apart(self) -> Sequence[ObserverView]:
        """While the store is out of reach: what came directly where that is newer."""
        return self._with_our_own(self._peers.newer_than(self._store.views()))

    def _with_our_own(self, views: Sequence[ObserverView]) -> Sequence[ObserverView]:
        own = ObserverView(self._name, 0, self._own_report(), 0.0)
        by_name = {view.name: view for view in views} | {self._name: own}
        assert self._parts is not None
        return [
            replace(by_name.get(each.name) or ObserverView(each.name, 0, None, 0.0), votes=each.votes)
            for each in self._parts.policy.observers
        ]

    def _decided(self, snapshot: Snapshot, decision: Decision) -> None:
        self._last_step_s = snapshot.now.boot_s
        changed = self._vantages.update(decision.state)
        if self._observer is None:
            return
        if changed:
            self._observer.recheck()
        self._observer.hurry_lags(self._vantages.mail_is_waited_for)

    async def _tell_systemd(self) -> None:
        """It is started as soon as its API listens: what else starts at boot does not wait for a store."""
        notify("READY=1")
        while True:
            if self._clock.now().boot_s - self._last_step_s < STALLED_S:
                notify("WATCHDOG=1")
            notify(f"STATUS={self._not_ready() or 'watching'}")
            await asyncio.sleep(1.0)

    def _turns(self) -> int:
        """How often the work has gone round; to wait for the store is work."""
        return self._readings + (self._loop.counters.rounds if self._loop is not None else 0)

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
                steps=counters.steps,
                last_step_s=counters.last_step_s,
                commits={Commit(name): count for name, count in counters.commits.items()},
                errors=counters.errors,
                orders_sent=counters.orders_sent,
            )
            if counters
            else Counters(),
            may_act=self._clock.now().boot_s < self._store.may_act_until_s(),
            read_at=self._loop.read_at if self._loop else None,
            apart=self._peers.apart,
            rival=self._store.rival,
            lease=self._keeper.kept() if self._keeper is not None else None,
            bound=self._promises.binds() if may_ever_act(self._config) else "",
            certificates=self._certificates.lasting(),
        )

    def dry_run(self, request: Request) -> Decision:
        """The pure core on the newest snapshot with this request in it; nothing is recorded or sent."""
        if self._loop is None or self._loop.snapshot is None:
            raise StoreError("no decision has been made yet; try again in a second")
        return rehearse(replace(self._loop.snapshot, requests=(request,)))

    async def try_rungs(self, node: str) -> tuple[RungTried, ...]:
        if self._parts is None or self._loop is None or self._loop.snapshot is None:
            raise StoreError("nothing has been decided yet; try again in a second")
        parts, snapshot = self._parts, self._loop.snapshot
        asked = parts.asked[node].helper if node in parts.asked else None
        return await try_all(Means(snapshot, node, parts.helpers.get(node), asked, parts.devices.get(node)))

    async def post(self, entry: Request | Pause | None) -> None:
        await self._store.post(entry)
        self._wake()

    def _not_ready(self) -> str:
        if self._loop is None or self._loop.decision is None:
            return f"starting: {self._waits_for or 'nothing has been decided yet'}"
        if self._loop.problem:
            return self._loop.problem
        stalled = self._clock.now().boot_s - self._last_step_s
        if stalled > STALLED_S:
            return f"the controller has not finished a step for {stalled:.0f} s"
        return ""


async def _until(stop: asyncio.Event | None, bodies: Mapping[str, Coroutine[Any, Any, Any]]) -> None:
    """Run them all until `stop`, or until one of them fails or ends, which none does by itself."""
    waiting = asyncio.create_task((stop or asyncio.Event()).wait(), name="stop")
    tasks = [asyncio.create_task(body, name=name) for name, body in bodies.items()]
    try:
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if waiting in done:
            notify("STOPPING=1")
            return
        for task in done:
            task.result()
            raise RuntimeError(f"the task {task.get_name()!r} ended by itself")
    finally:
        waiting.cancel()
        await _end(tasks)


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
