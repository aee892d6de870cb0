"""Failback: what must be there so that service can go back to somebody, and at some time."""

from collections.abc import Iterator

from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.model.policy import Deployment, Failback

_HERE: Path = ("policy", "failback")
_WINDOW: Path = ("policy", "failback_window")


def failback(config: Config) -> Iterator[Problem]:
    rules = config.policy
    if config.deployment is not Deployment.CLUSTER:
        return
    if rules.failback is Failback.WINDOW and rules.failback_window is None:
        sentence = "window: say when: add failback_window, such as 02:00-04:00 Europe/Berlin"
        yield Problem(_HERE, sentence, (_WINDOW,))
    if rules.failback is not Failback.WINDOW and rules.failback_window is not None:
        sentence = f"it counts with failback: window, and that is {rules.failback}: write one or the other"
        yield Problem(_WINDOW, sentence, (_HERE,))
    alike = len({node.priority for node in config.nodes.values()}) < 2
    if rules.failback in (Failback.WINDOW, Failback.AUTO) and alike and len(config.nodes) > 1:
        sentence = f"{rules.failback}: nobody is preferred: give one node a higher priority"
        yield Problem(_HERE, sentence, (("nodes",),))
