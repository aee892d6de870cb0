"""After a fault: is every accepted message on both nodes, once, and did nobody get a 5xx?

The queues are flushed and replication is kicked until everything is there or the deadline has passed:
deferred mail and a user waiting after a failed sync are late, not lost. Looked for in the store itself (the
Maildir files), which knows nothing of what a node thinks it has.

A few duplicates are Dovecot's own, in health too: two deliveries to one mailbox within the replication
delay get the same UID and are renumbered. They are counted, not judged.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass

from tests.lab.harness.cluster import Cluster, together
from tests.lab.harness.load import Load, Outcome
from tests.lab.harness.node import STORE, MailNode


@dataclass(frozen=True)
class AuditReport:
    """What became of a load's messages."""

    accepted: int
    lost: dict[str, list[int]]
    duplicates: dict[str, list[int]]
    refused: list[str]
    settled_s: float

    @property
    def is_clean(self) -> bool:
        """Nothing lost and nothing refused for good."""
        return not self.refused and not any(self.lost.values())

    def __str__(self) -> str:
        lost = ", ".join(f"{node}: {len(numbers)} {numbers[:10]}" for node, numbers in self.lost.items())
        twice = sum(map(len, self.duplicates.values()))
        return (
            f"{self.accepted} accepted; lost {lost}; {twice} duplicates; "
            f"{len(self.refused)} refused with 5xx {self.refused[:3]}; settled in {self.settled_s:.1f} s"
        )


def audit(cluster: Cluster, load: Load, deadline_s: float = 60) -> AuditReport:
    """Look for every accepted message of `load` on every node, until all are there or time is over."""
    nodes = list(cluster.nodes.values())
    accepted = load.accepted
    started = time.monotonic()
    while True:
        together(*(node.flush_queue for node in nodes), *(node.replicate_all for node in nodes))
        found = {node.name: messages_of(node, load.run) for node in nodes}
        lost = {name: sorted(set(accepted) - set(counts)) for name, counts in found.items()}
        waited_s = time.monotonic() - started
        if not any(lost.values()) or waited_s > deadline_s:
            break
        time.sleep(1)
    retried = {attempt.number for attempt in load.of(Outcome.UNKNOWN)}
    return AuditReport(
        accepted=len(accepted),
        lost=lost,
        duplicates={
            name: sorted(number for number, count in counts.items() if count > 1 and number not in retried)
            for name, counts in found.items()
        },
        refused=[f"{attempt.number}: {attempt.detail}" for attempt in load.of(Outcome.PERMFAIL)],
        settled_s=waited_s,
    )


def behind(load: Load, old: MailNode, new: MailNode) -> list[int]:
    """The messages that one node has accepted and another does not have now, in its store: what would be lost
    if the first were."""
    accepted = {each.number for each in load.of(Outcome.ACCEPTED) if each.address == old.address}
    return sorted(accepted - set(messages_of(new, load.run)))


def messages_of(node: MailNode, run: str) -> Counter[int]:
    """How often each number of a run is in the node's store."""
    pattern = rf"^Message-ID: <{re.escape(run)}\.[0-9]+@"
    files = f"find {STORE} -type f \\( -path '*/cur/*' -o -path '*/new/*' \\) -print0"
    output = node.shell(f"{files} | xargs -0 -r grep -ahE -m1 '{pattern}'", check=False)
    return Counter(int(number) for number in re.findall(rf"<{re.escape(run)}\.(\d+)@", output))
