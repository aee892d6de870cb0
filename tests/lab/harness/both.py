"""Every node is asked every 50 ms whether it serves: with one that does, no other may (I4).

A node serves when it greets on a client port; it is asked on one after the other. An answer is of some moment
between asking and having it; where two nodes' answers cannot have been of the same moment, they do not count
as both. A node that is silent holds nothing up: it is asked again while earlier questions wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from dataclasses import dataclass
from typing import Self

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import IMAP, SUBMISSION
from tests.lab.harness.node import MailNode
from tests.lab.harness.waiting import wait_until

PERIOD_S = 0.05
PATIENCE_S = 0.5
CLOSE_S = 1.0
PORTS = (SUBMISSION, IMAP)
FIRST_WITHIN_S = 20.0
NOTICED_S = 3.0
"""A silence that is none of a busy machine's."""


@dataclass(frozen=True)
class Greeting:
    """A node greeted; it was asked at `asked`, and had greeted by `had` (`time.time()`)."""

    node: str
    asked: float
    had: float


class Both:
    """Asks all nodes of a cluster; a context manager. `longest_s` is the longest time between two questions
    to a node: what was shorter than that may have been missed."""

    def __init__(self, cluster: Cluster) -> None:
        self.greetings: list[Greeting] = []
        self.asked = 0
        self.longest_s = 0.0
        self._error: BaseException | None = None
        self._nodes = tuple(cluster.nodes.values())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="both", daemon=True)

    def __enter__(self) -> Self:
        """Returns when somebody has greeted: what follows is seen from its beginning."""
        self._thread.start()
        with contextlib.ExitStack() as on_error:
            on_error.push(self.__exit__)
            wait_until(lambda: self.greetings or self._error, "somebody greets", FIRST_WITHIN_S)
            on_error.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._ask_all())
        except BaseException as error:  # an observer that died saw nothing: told at the end
            self._error = error

    async def _ask_all(self) -> None:
        before = time.monotonic()
        async with asyncio.TaskGroup() as questions:
            for port in itertools.cycle(PORTS):
                if self._stopping.is_set():
                    return
                for node in self._nodes:
                    questions.create_task(self._ask(node, port))
                self.asked += 1
                await asyncio.sleep(PERIOD_S - time.monotonic() % PERIOD_S)
                before, past_s = time.monotonic(), time.monotonic() - before
                self.longest_s = max(self.longest_s, past_s)

    async def _ask(self, node: MailNode, port: int) -> None:
        asked = time.time()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(node.address, port)
                try:
                    if await reader.read(1):
                        self.greetings.append(Greeting(node.name, asked, time.time()))
                finally:
                    writer.close()

    def has_heard(self, node: str) -> bool:
        """Whether it has greeted."""
        return any(greeting.node == node for greeting in list(self.greetings))

    def moved(self, before: str, after: str) -> tuple[float, float]:
        """When `before` greeted last, and `after` first (`time.time()`)."""
        last = max(greeting.had for greeting in self.greetings if greeting.node == before)
        return last, min(greeting.asked for greeting in self.greetings if greeting.node == after)

    def silence_s(self) -> float:
        """The longest time in which no node greeted."""
        at = sorted(greeting.had for greeting in self.greetings)
        return max((later - earlier for earlier, later in itertools.pairwise(at)), default=0.0)

    def at_once(self) -> list[str]:
        """Where one node greeted between two greetings of another that are close together: a move away and
        back takes longer."""
        return [
            f"{each.node} at {each.asked:.3f}, and {node.name} before and after it"
            for node in self._nodes
            for each in self.greetings
            if each.node != node.name and self._is_between_two_of(node.name, each)
        ]

    def _is_between_two_of(self, node: str, greeting: Greeting) -> bool:
        near = [
            each
            for each in self.greetings
            if each.node == node and abs(each.asked - greeting.asked) < CLOSE_S
        ]
        before = any(each.had < greeting.asked for each in near)
        return before and any(each.asked > greeting.had for each in near)
