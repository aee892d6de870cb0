"""Leases: what must be there so that somebody renews them, also while ZooKeeper is out of reach."""

from collections.abc import Iterator

from mailward.configs import effective
from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.values import plain
from mailward.controller.lease import RETRY_S, ROUNDS
from mailward.controller.promises import ANSWER_S
from mailward.model.fencing import Scope
from mailward.model.policy import Deployment

_HERE: Path = ("policy", "lease_s")
_SCOPE: Path = ("policy", "fence_scope")


def leases(config: Config) -> Iterator[Problem]:
    """A node without a daemon beside it that renews its lease, or with one whose promises are missing, would
    refuse its clients."""
    if config.policy.lease_s is None or config.deployment is not Deployment.CLUSTER:
        return
    if not Scope.USERS.covers(config.policy.fence_scope):
        sentence = (
            "a lease closes client ports and stops no writer, so that with policy.fence_scope:"
            f" {config.policy.fence_scope} it would stop nobody: leave one of the two lines out"
        )
        yield Problem(_HERE, sentence, (_SCOPE,))
    if config.coordination.zookeeper is None:
        sentence = (
            "a lease is renewed by a daemon beside every node, and several daemons agree in ZooKeeper: write"
            " coordination.zookeeper, or leave the line out"
        )
        yield Problem(_HERE, sentence, (("coordination",),))
        return
    yield from _beside(config)
    yield from _promising(config)
    yield from _long_enough(config, config.policy.lease_s, config.coordination.zookeeper.session_s)


def _beside(config: Config) -> Iterator[Problem]:
    """A daemon beside every node."""
    for name in config.nodes:
        if effective.daemon_beside(config, name) is None:
            sentence = (
                f"none is beside {name}: nobody would renew its lease (policy.lease_s), and it would refuse"
                f" its clients: write `node: {name}` at the observer that runs there"
            )
            yield Problem(("observers",), sentence, (_HERE, ("nodes",)))


def _promising(config: Config) -> Iterator[Problem]:
    for position, observer in enumerate(config.observers):
        if observer.leader != "never" and observer.address is None:
            sentence = (
                "missing: with policy.lease_s mail goes on without ZooKeeper only if every daemon that may"
                " lead can be asked not to: write where the others reach it, or `leader: never`"
            )
            yield Problem(("observers", position, "address"), sentence, (_HERE,))


def _long_enough(config: Config, lease_s: float, session_s: float) -> Iterator[Problem]:
    """Until mail goes on by promises, the lease of before lasts."""
    asked_s = RETRY_S + ANSWER_S
    least_s = (session_s + asked_s) / (1 - 1 / ROUNDS)
    if lease_s < least_s:
        sentence = (
            f"{plain(lease_s)} s is too short to go on when ZooKeeper fails. Since the last renewal may pass:"
            f" one round (a fifth of it, {plain(lease_s / ROUNDS)} s), the time until every daemon knows that"
            f" ZooKeeper is gone (coordination.zookeeper.session_s, {plain(session_s)} s), and until all have"
            f" promised ({plain(asked_s)} s): write {plain(least_s)} or more, or a shorter session_s"
        )
        yield Problem(_HERE, sentence, (("coordination", "zookeeper", "session_s"),))
