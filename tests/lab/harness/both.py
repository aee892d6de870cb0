"""Every node is asked again and again whether it serves: with one that does, no other may (I4).

A node serves when it greets on its submission port. An answer is of some moment between asking and having it;
where two nodes' answers cannot have been of the same moment, they do not count as both.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Self

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import SUBMISSION
from tests.lab.harness.node import MailNode

PERIOD_S = 0.05
PATIENCE_S = 0.5


@dataclass(frozen=True)
class Greeting:
    """A node greeted; it was asked at `asked`, and had greeted by `had` (`time.time()`)."""

    node: str
    asked: float
    had: float


class Both:
    """Asks all nodes of a cluster, each by a thread; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self.greetings: list[Greeting] = []
        self.asked = 0
        self._stopping = threading.Event()
        nodes = cluster.nodes.values()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in nodes]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)

    def _ask(self, node: MailNode) -> None:
        while not self._stopping.is_set():
            asked = time.time()
            greeted = node.speaks(SUBMISSION, PATIENCE_S)
            self.asked += 1
            if greeted:
                self.greetings.append(Greeting(node.name, asked, time.time()))
            self._stopping.wait(max(0.0, PERIOD_S - (time.time() - asked)))

    def moved(self, before: str, after: str) -> tuple[float, float]:
        """When `before` greeted last, and `after` first (`time.time()`)."""
        last = max(greeting.had for greeting in self.greetings if greeting.node == before)
        return last, min(greeting.asked for greeting in self.greetings if greeting.node == after)

    def at_once(self) -> list[str]:
        """Where one node greeted between two greetings of another."""
        found, found_of = [], sorted(self.greetings, key=lambda greeting: greeting.asked)
        for one, two, three in zip(found_of, found_of[1:], found_of[2:], strict=False):
            if one.node == three.node != two.node and one.had < two.asked and two.had < three.asked:
                found.append(f"{two.node} at {two.asked:.3f}, and {one.node} before and after it")
        return found
