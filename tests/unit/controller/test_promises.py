"""Promises not to lead: who gives one is bound, and a node goes on by them only if all who could lead do."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.unit.core.scene import cluster_of

from mailward.controller.clock import SystemClock
from mailward.controller.coordination.answering import Pace
from mailward.controller.coordination.peers import Peer, Peers
from mailward.controller.promises import Promises, acts
from mailward.model.clock import Moment
from mailward.model.policy import Observer, Policy

QUICK = Pace(answer_s=0.3, ask_s=0.05, retry_s=0.02, retry_max_s=0.05)
FOR_S = 2.1 * 10.0 + 4.0
NAMES = ("a", "b", "c")


def policy_with(lease_s: float | None = 10.0, digest: str = "d1") -> Policy:
    observers = [*(Observer(name, name) for name in NAMES), Observer("watches", "w", leads=False)]
    policy = cluster_of(observers=observers)
    return replace(policy, rules=replace(policy.rules, lease_s=lease_s), digest=digest)


POLICY = policy_with()
QUESTION = {"promise": {"config": "d1"}}


@dataclass
class Clock:
    s: float = 1000.0

    def now(self) -> Moment:
        return Moment("boot", self.s, self.s)


@dataclass
class Daemon:
    """One that could lead, as far as promises go."""

    name: str = "a"
    policy: Policy = POLICY
    acts: str = ""

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.asked: list[Mapping[str, Any]] = []
        self.promises = Promises(
            name=self.name, policy=self.policy, clock=self.clock, may_act=lambda: self.acts, ask=self._ask
        )

    async def _ask(self, question: Mapping[str, Any], timeout_s: float) -> Mapping[str, Mapping[str, Any]]:
        assert timeout_s == 1.0
        self.asked.append(question)
        return self.answers


def started_long_ago(name: str = "a", policy: Policy = POLICY) -> Daemon:
    daemon = Daemon(name, policy)
    daemon.clock.s += 1000
    assert daemon.promises.binds() == ""
    return daemon


async def given(daemon: Daemon, question: Mapping[str, Any] = QUESTION) -> Mapping[str, Any]:
    return await daemon.promises.give(question)


async def test_who_promises_is_bound_for_as_long_as_a_lease_may_last_and_no_longer() -> None:
    daemon = started_long_ago()
    assert await given(daemon) == {"promised": True, "why": ""}
    daemon.clock.s += FOR_S - 0.1
    assert "it has promised so" in daemon.promises.binds()
    daemon.clock.s += 0.2
    assert daemon.promises.binds() == ""


async def test_each_promise_binds_anew() -> None:
    daemon = started_long_ago()
    await given(daemon)
    daemon.clock.s += FOR_S - 1
    await given(daemon)
    daemon.clock.s += FOR_S - 1
    assert daemon.promises.binds()


@pytest.mark.parametrize("acts", ["it leads", "the store is in touch with it"])
async def test_who_leads_or_has_the_store_promises_nothing_and_is_not_bound(acts: str) -> None:
    daemon = started_long_ago()
    daemon.acts = acts
    assert await given(daemon) == {"promised": False, "why": acts}
    assert daemon.promises.binds() == ""


async def test_a_process_is_bound_from_its_start_by_what_the_one_before_may_have_promised() -> None:
    daemon = Daemon()
    daemon.clock.s += FOR_S - 0.1
    assert "before it was started" in daemon.promises.binds()
    daemon.clock.s += 0.2
    assert daemon.promises.binds() == ""


async def test_without_leases_nobody_is_bound_and_nobody_promises() -> None:
    daemon = Daemon(policy=policy_with(lease_s=None))
    assert daemon.promises.binds() == ""
    answer = await given(daemon)
    assert answer["promised"] is False
    assert daemon.promises.binds() == ""


@pytest.mark.parametrize("question", [{"promise": {"config": "d2"}}, {"promise": {}}, {"promise": True}, {}])
async def test_who_has_another_configuration_gets_no_promise(question: Mapping[str, Any]) -> None:
    """It may count another leader, whom it would not ask."""
    daemon = started_long_ago()
    assert (await given(daemon, question))["promised"] is False
    assert daemon.promises.binds() == ""


async def test_all_who_could_lead_must_have_promised_ourselves_included() -> None:
    daemon = started_long_ago()
    daemon.answers = {"b": {"promised": True}, "c": {"promised": True}}
    assert await daemon.promises.all_given() == ""
    assert daemon.promises.binds()
    assert daemon.asked == [QUESTION]


async def test_whoever_leads_itself_asks_nobody() -> None:
    daemon = started_long_ago()
    daemon.acts = "it leads"
    assert await daemon.promises.all_given() == "a does not promise: it leads"
    assert daemon.asked == []


async def test_who_never_leads_need_not_promise_and_is_not_asked_to() -> None:
    daemon = started_long_ago("watches")
    daemon.answers = {name: {"promised": True} for name in NAMES}
    assert await daemon.promises.all_given() == ""
    assert daemon.promises.binds() == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "c does not answer"),
        ({"promised": False, "why": "it leads"}, "c does not promise: it leads"),
        ({}, "c does not promise: it does not know how"),
        ({"promised": "yes", "why": 7}, "c does not promise: it does not know how"),
    ],
)
async def test_one_that_does_not_promise_is_enough_and_is_named(
    answer: Mapping[str, Any] | None, why: str
) -> None:
    daemon = started_long_ago()
    daemon.answers = {"b": {"promised": True}} | ({"c": answer} if answer is not None else {})
    assert await daemon.promises.all_given() == why


# over the connections of daemons


class Network:
    """Daemons of their own processes, each with a port of this host."""

    def __init__(self) -> None:
        self.ports = {name: _free_port() for name in (*NAMES, "watches")}
        self.acts = dict.fromkeys(self.ports, "")
        self.promises: dict[str, Promises] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str) -> None:
        there = [Peer(other, "127.0.0.1", port) for other, port in self.ports.items() if other != name]
        clock = SystemClock()

        async def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
            return await self.promises[name].give(question)

        peers = Peers("lab", name, f"{name}1", there, clock, answer=answer, pace=QUICK)
        self.promises[name] = Promises(
            name=name, policy=POLICY, clock=clock, may_act=lambda: self.acts[name], ask=peers.ask
        )
        self.tasks[name] = asyncio.create_task(peers.run(("127.0.0.1", self.ports[name])))
        await asyncio.sleep(0.05)

    async def stop(self, name: str) -> None:
        self.tasks[name].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.tasks.pop(name)


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    found = Network()
    try:
        for name in found.ports:
            await found.start(name)
        yield found
    finally:
        for name in list(found.tasks):
            await found.stop(name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def test_daemons_promise_each_other_over_their_connections() -> None:
    async with network() as there:
        assert await there.promises["a"].all_given() == ""
        assert all(there.promises[name].binds() for name in NAMES)


async def test_a_daemon_that_does_not_run_has_not_promised() -> None:
    async with network() as there:
        await there.stop("b")
        assert await there.promises["a"].all_given() == "b does not answer"


async def test_a_daemon_that_has_the_store_says_so() -> None:
    async with network() as there:
        there.acts["c"] = "the store is in touch with it"
        assert await there.promises["a"].all_given() == "c does not promise: the store is in touch with it"
        there.acts["c"] = ""
        assert await there.promises["a"].all_given() == ""


async def test_one_that_stands_still_is_not_waited_for_longer_than_a_second() -> None:
    async with network() as there:
        await there.stop("b")

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", there.ports["b"])
        before = asyncio.get_running_loop().time()
        assert await there.promises["a"].all_given() == "b does not answer"
        assert asyncio.get_running_loop().time() - before < 1.5
        server.close()


@pytest.mark.parametrize(
    ("leads", "in_touch", "said"),
    [
        (True, True, "it leads"),
        (True, False, "it leads"),
        (False, True, "the store is in touch with it"),
        (False, False, ""),
    ],
)
def test_only_who_neither_leads_nor_is_in_touch_with_the_store_promises(
    leads: bool, in_touch: bool, said: str
) -> None:
    assert acts(leads=leads, in_touch=in_touch) == said
