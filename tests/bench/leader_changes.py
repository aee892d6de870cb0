"""From a leader's end to the first write of the next one, and from a crash to the changed answer, with three
daemons and three ZooKeeper servers in the lab; sessions of 10 s, ten runs each."""

import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.figures import Figure, figure
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import Daemons, epoch_of
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import DOMAIN, TOKEN_NAME

RUNS = 10
SESSION_S = 10
LIMIT_S = 60.0
HELD_S = 3.0
"""Until the others hold their connections to a daemon that has just been started."""
QUICK = {"policy": {"restart_grace_s": 0, "stable_s": 0.5, "hold_down_s": 0}}


def leader_killed() -> Sequence[Figure]:
    times = _changes(lambda leader: leader.kill())
    return [
        figure("leader-killed-to-next-write", "s", times, "kill -9 to the next leader's claim in the zone")
    ]


def leader_stopped() -> Sequence[Figure]:
    times = _changes(_stopped)
    return [
        figure("leader-stopped-to-next-write", "s", times, "SIGTERM to the next leader's claim in the zone")
    ]


def crash_with_three() -> Sequence[Figure]:
    """A service crashes; the verdicts of two daemons are needed."""
    times = []
    with Cluster("bench-three") as cluster, Daemons(cluster, QUICK, session_s=SESSION_S) as daemons:
        daemons.leader()
        node = cluster.mail_a
        with DnsWatch(cluster.addresses.ns1, f"mail.{DOMAIN}") as watch:
            for _ in range(RUNS):
                watch.wait_for(lambda answer: node.address in answer, LIMIT_S)
                time.sleep(HELD_S)
                struck = node.kill_unit("dovecot")
                times.append(watch.wait_for(lambda answer: node.address not in answer, LIMIT_S).at - struck)
                node.heal()
    return [figure("crash-three-daemons-to-answer", "s", times, "fault to changed answer at the primary")]


def _stopped(leader: Controller) -> float:
    at = time.time()
    leader.end(signal.SIGTERM)
    return at


def _changes(end: Callable[[Controller], float]) -> list[float]:
    times = []
    with (
        Cluster("bench-leader") as cluster,
        Daemons(cluster, session_s=SESSION_S) as daemons,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        for _ in range(RUNS):
            ended = daemons.each[daemons.leader(within_s=LIMIT_S)]
            time.sleep(HELD_S)
            (before,) = map(epoch_of, tokens.now)
            at = end(ended)
            times.append(tokens.wait_for(partial(_is_later, before), LIMIT_S).at - at)
            ended.start()
    return times


def _is_later(epoch: int, answer: frozenset[str]) -> bool:
    return any(epoch_of(value) > epoch for value in answer)
