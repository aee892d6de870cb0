"""The store as one daemon uses it: `model.ports.Coordination`, its heartbeat, and the observers' reports."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mailward.controller.coordination.contact import Contact, Heard
from mailward.controller.coordination.zookeeper import tree, trouble
from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.letters import ZooKeeperLetters
from mailward.controller.coordination.zookeeper.requests import MOST, Requests
from mailward.controller.coordination.zookeeper.rights import OPEN, Rights
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import (
    Check,
    Create,
    Delete,
    Servers,
    Step,
    Write,
    Znode,
)
from mailward.model.errors import ForeignStore, NoRight, NoStore, StoreError, Unanswered
from mailward.model.policy import Observer
from mailward.model.ports import Clock, Commit, Recorded
from mailward.model.report import Report
from mailward.model.snapshot import Leader, ObserverView, Standing, Versions
from mailward.model.state import Pause, Request, State

log = logging.getLogger(__name__)

HEARTBEATS = 4
"""In a session's timeout. A server's half tick is never longer than the time between two: it grants no
session shorter than two ticks, unless it is told to."""
MARGIN = 0.1
"""Of a session's timeout, for drift and scheduling."""
SILENT = 0.4
"""Of a session's timeout: after so long without an acknowledged heartbeat the connection is given up."""
RIVAL_S = 15.0
"""So long another process under our name is told of after it wrote: both write every few seconds."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What a commit or an election needs to know of the znodes it checks; whether the leader's is `ours`."""

    epoch: int
    epoch_version: int
    leader: Leader | None
    leader_version: int
    ours: bool


class ZooKeeperStore:
    """`name` is this daemon's; `observers` whose reports count. Who may not lead follows for ever.
    `on_change` is called when it may be worth reading again."""

    def __init__(
        self,
        cluster: str,
        name: str,
        servers: Servers,
        clock: Clock,
        observers: Sequence[Observer] = (),
        *,
        may_lead: bool = True,
        rights: Rights = OPEN,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._tree = Tree(cluster)
        self._name = name
        self.nonce = secrets.token_hex(8)
        self._clock = clock
        self._observers = tuple(observers)
        self._may_lead = may_lead
        self._rights = rights
        self._servers = servers
        self._client = Client(servers, on_change)
        self._requests = Requests(self._client, self._tree)
        self._letters = ZooKeeperLetters(self._client, self._tree, rights)
        self._contact = Contact(0.0, 0.0)
        self._heard: Heard[int] = Heard()
        self._session: int | None = None
        self._led: Leader | None = None
        self._read: _Read | None = None
        self._store_id = ""
        self._state: tuple[int, State] | None = None
        self._kept_from_leading = self._told = ""
        self._willing = True
        self._reported = asyncio.Lock()
        self._reported_s, self._rival_s = float("inf"), float("-inf")

    async def run(self) -> None:
        """Connect, and prove it over and over: until cancelled."""
        self._client.start()
        heard_s = self._now_s()
        while True:
            if self._client.session is None and self._now_s() - heard_s > trouble.TRY_S:
                await self._look_why()
            began_s = self._now_s()
            if await self._beat():
                heard_s = self._now_s()
            elif self._hangs(heard_s):
                log.warning(
                    "ZooKeeper has acknowledged nothing for %.1f s: connecting anew", self._now_s() - heard_s
                )
                self._client.hang_up()
                heard_s = self._now_s()
            every_s = 1.01 * self._client.session_s / HEARTBEATS  # two in a row are never too close to count
            await asyncio.sleep(max(every_s / 10, every_s - (self._now_s() - began_s)))

    def _hangs(self, heard_s: float) -> bool:
        """Whether who we are connected to, and who does not turn us away, answers nothing."""
        silent = self._now_s() - heard_s > self._client.session_s * SILENT
        return silent and self._client.session is not None and not self._client.refusal

    async def _look_why(self) -> None:
        found = self._client.refusal or await trouble.of(self._servers)
        if self._client.session is None:
            self._client.trouble = found
            if found != self._told:
                log.error("there is no connection to ZooKeeper: %s", found)
                self._told = found

    @property
    def letters(self) -> ZooKeeperLetters:
        return self._letters

    @property
    def in_touch(self) -> bool:
        """Whether it is certain just now that ZooKeeper knows us: only then it may lead."""
        return self._client.session is not None and self._now_s() < self._deadline_s()

    async def leave(self) -> None:
        """End the session, and with it the lead: the next one may lead at once."""
        self._led = None
        await self._client.stop()

    # Coordination

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        self._notice_a_new_session()
        self._willing = willing
        if not willing:
            await self._step_down()
            return Standing.FOLLOWING
        if not self._may_lead or not self.in_touch:
            return Standing.FOLLOWING
        if self._led is None:
            await self._try_to_stand(over)
        return Standing.LEADING if self._led is not None else Standing.FOLLOWING

    async def read(self) -> Recorded:
        """StoreError where the store is not there, is not ours, or cannot be understood."""
        self._notice_a_new_session()
        asked_s, at = self._now_s(), self._tree
        reports = {observer.name: at.report(observer.name) for observer in self._observers}
        found = await self._client.read(
            [at.store, at.epoch, at.state, at.pause, at.leader, *reports.values()], [at.requests]
        )
        self._must_be_ours(found.znodes.get(at.store))
        epoch, state, pause = (
            self._must_be_there(found.znodes, path) for path in (at.epoch, at.state, at.pause)
        )
        leading = found.znodes.get(at.leader)
        leader = tree.leader(leading, at.leader) if leading is not None else None
        self._take_up(leader, leading)
        self._read = _Read(
            tree.epoch(epoch, at.epoch), epoch.version, leader, leading.version if leading else 0,
            self._is_ours(leading),
        )  # fmt: skip
        recorded = Recorded(
            state=self._understood(state),
            versions=Versions(self._read.epoch, state.version, pause.version),
            pause=self._paused(pause),
            requests=await self._requests.read(found.names.get(at.requests, ())),
            leader=leader,
        )
        marked = {name: found.znodes[path] for name, path in reports.items() if path in found.znodes}
        heard = dict(self._understood_reports(marked))
        self._heard.read(asked_s, heard, self._now_s())
        if self._name in heard and heard[self._name][1].nonce != self.nonce and asked_s > self._reported_s:
            self._rival_s = asked_s
        if self._led is not None:
            await self._requests.sweep(asked_s)
        answered = {answer.request for answer in recorded.state.answers}
        waiting = tuple(request for request in recorded.requests if request.id not in answered)
        return Recorded(recorded.state, recorded.versions, recorded.pause, waiting, leader)

    async def recorded(self) -> State:
        """The state alone; StoreError as in `read`."""
        at = self._tree
        found = (await self._client.read([at.store, at.state])).znodes
        self._must_be_ours(found.get(at.store))
        return self._understood(self._must_be_there(found, at.state))

    async def record(self, state: State, seen: Versions) -> Commit:
        at, read, content = self._tree, self._read, tree.of_state(state)
        if read is None or self._led is None or seen.epoch != read.epoch or self._led.epoch != read.epoch:
            return Commit.LOST
        answered = {answer.request for answer in state.answers}
        steps: list[Step] = [
            Check(at.epoch, read.epoch_version),
            Check(at.leader, read.leader_version),
            Check(at.pause, seen.pause),
            Write(at.state, content, seen.state),
            *(Delete(f"{at.requests}/{id}") for id in self._requests.there if id in answered),
        ]
        try:
            lost = await self._client.commit(*steps)
        except Unanswered as error:
            log.error("the new state may not have been written: %s", error)
            return Commit.UNKNOWN
        return Commit.LOST if lost else Commit.COMMITTED

    def may_act_until_s(self) -> float:
        """A connection that is lost is no lead, from that very moment."""
        if self._led is None or self._client.session is None or self._client.session != self._session:
            return float("-inf")
        return self._deadline_s()

    async def post(self, entry: Request | Pause | None) -> None:
        at = self._tree
        if not isinstance(entry, Request):
            wrong = await self._client.commit(Write(at.pause, tree.of_pause(entry)))
        else:
            waiting = (await self._client.read([at.store], [at.requests])).names.get(at.requests, ())
            if len([name for name in waiting if tree.is_request_id(name)]) >= MOST:
                raise StoreError(f"{len(waiting)} requests already wait in {at.requests}; does anybody lead?")
            acl = self._rights.of_passing()
            wrong = await self._client.commit(Create(at.request(entry.id), tree.of_request(entry), acl=acl))
        if wrong:
            raise StoreError(f"ZooKeeper did not take it: {wrong}")

    # reports

    async def publish(self, report: Report) -> None:
        """Put our newest report where the others read it."""
        path = self._tree.report(self._name)
        content = tree.of_report(replace(report, nonce=self.nonce))
        async with self._reported:
            if await self._client.commit(Write(path, content)):
                await self._make_ours()
                if wrong := await self._client.commit(Write(path, content)):
                    raise StoreError(f"ZooKeeper did not take our report: {wrong}")
            self._reported_s = min(self._reported_s, self._now_s())

    @property
    def rival(self) -> bool:
        """Whether another process has reported under our name lately."""
        return self._now_s() - self._rival_s < RIVAL_S

    def views(self) -> tuple[ObserverView, ...]:
        """Every configured observer's newest report, and how old it may be."""
        return self._heard.views(self._observers, self._now_s())

    # leading

    async def _try_to_stand(self, over: Leader | None) -> None:
        try:
            with contextlib.suppress(Unanswered):
                await self._stand(over)
                self._kept_from_leading = ""
        except NoRight as error:
            if str(error) != self._kept_from_leading:
                log.error("this daemon is to lead, and cannot: %s", error)
            self._kept_from_leading = str(error)

    async def _stand(self, over: Leader | None) -> None:
        at = self._tree
        found = (await self._client.read([at.store, at.epoch, at.state, at.leader])).znodes
        self._must_be_ours(found.get(at.store))
        before, state = (self._must_be_there(found, path) for path in (at.epoch, at.state))
        steps: list[Step] = []
        if (there := found.get(at.leader)) is not None:
            leads = tree.leader(there, at.leader)
            self._take_up(leads, there)
            if self._led is not None or leads != over:
                return
            steps.append(Delete(at.leader, there.version))
        epoch = max(tree.epoch(before, at.epoch), self._understood(state).epoch) + 1
        ours = Leader(self._name, epoch, self.nonce)
        steps += [
            Create(at.leader, tree.of_leader(ours), ephemeral=True, acl=self._rights.of_passing()),
            Write(at.epoch, tree.of_epoch(epoch), before.version),
        ]
        if not await self._client.commit(*steps):
            self._led = ours

    def _take_up(self, leader: Leader | None, znode: Znode | None) -> None:
        """Whether we lead: what was made in this session, perhaps without our having heard that it was done,
        and nothing else. Who has stepped down does not, though ZooKeeper may not have heard of it."""
        self._led = leader if self._is_ours(znode) and self._willing else None

    def _is_ours(self, leading: Znode | None) -> bool:
        session = self._client.session
        return leading is not None and session is not None and leading.owner == session

    async def _step_down(self) -> None:
        """Not leading from now on, whatever ZooKeeper hears of it."""
        read, self._led = self._read, None
        if read is None or not read.ours:
            return
        with contextlib.suppress(Unanswered, NoRight):
            await self._client.commit(
                Check(self._tree.epoch, read.epoch_version), Delete(self._tree.leader, read.leader_version)
            )

    def _notice_a_new_session(self) -> None:
        session = self._client.session
        if session is not None and session != self._session:
            granted_s = self._client.session_s
            self._session, self._led = session, None
            self._contact = Contact(granted_s / HEARTBEATS, granted_s * MARGIN)

    # contact

    async def _beat(self) -> bool:
        """A write, and the only proof of contact that lasts. Whether it was answered at all."""
        self._notice_a_new_session()
        session, sent_s, path = self._session, self._now_s(), self._tree.beat(self._name)
        try:
            if await self._client.commit(Write(path, b"")):
                await self._make_ours()
                return True
        except StoreError as error:
            log.debug("no heartbeat: %s", error)
            return isinstance(error, NoRight)
        if self._client.session == session == self._session:
            self._contact.acknowledged(sent_s)
            self._told = ""
        return True

    async def _make_ours(self) -> None:
        """The place of a daemon that was never here: its report, and its heartbeat below that."""
        for path, acl in self._rights.of_observer(self._tree, self._name).items():
            await self._client.commit(Create(path, b"", acl=acl))

    def _deadline_s(self) -> float:
        return self._contact.deadline_s(self._client.session_s)

    def _now_s(self) -> float:
        return self._clock.now().boot_s

    # what is there

    def _must_be_ours(self, znode: Znode | None) -> None:
        if znode is None:
            raise NoStore(
                f"there is no store at {self._tree.root} in ZooKeeper; make one with: mailward state init"
            )
        found = tree.store_id(znode, self._tree.store)
        self._store_id = self._store_id or found
        if found != self._store_id:
            raise ForeignStore(
                f"{self._tree.root} in ZooKeeper is now store {found}, and was {self._store_id}"
            )

    @staticmethod
    def _must_be_there(znodes: dict[str, Znode], path: str) -> Znode:
        if path not in znodes:
            raise StoreError(f"{path} is missing in ZooKeeper; nothing is done without it")
        return znodes[path]

    def _paused(self, znode: Znode) -> Pause | None:
        """Who wrote what nobody understands there wanted something: nothing is done until it is lifted."""
        try:
            return tree.pause(znode, self._tree.pause)
        except StoreError as error:
            raise StoreError(f"{error}; lift it with: mailward resume") from error

    def _understood(self, znode: Znode) -> State:
        if self._state is None or self._state[0] != znode.moved:
            state = tree.state(znode, self._tree.state)
            if state.store_id != self._store_id:
                raise ForeignStore(
                    f"{self._tree.state} in ZooKeeper is of store {state.store_id}, not {self._store_id}"
                )
            self._state = znode.moved, state
        return self._state[1]

    def _understood_reports(self, znodes: dict[str, Znode]) -> Iterator[tuple[str, tuple[int, Report]]]:
        """One that cannot be understood counts as not written."""
        for name, znode in znodes.items():
            if not znode.content or self._heard.mark(name) == znode.moved:
                continue
            try:
                yield name, (znode.moved, tree.report(znode, self._tree.report(name)))
            except StoreError as error:
                log.warning("the report of %s is passed over: %s", name, error)
                self._heard.garbled(name, self._now_s())
