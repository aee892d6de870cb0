"""Hooks: what the admin has done at a node's promotion or demotion, as a command of `node.json` and another
that verifies it. Which of the two is run is all that an order says; the commands are never on the wire.

Verified is that the second one exits with 0, after the first has. Both together have the hook's `timeout_s`;
what runs then is killed with its process group. That twice is as good as once is the author's duty: a hook
whose answer was lost is ordered again.

Not here: undoing what a hook did before it failed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.commands import Ran, work
from mailward.fencing.node.config import NodeConfig

_DETAIL_LIMIT = 400


class HookDone(NamedTuple):
    """`ran`: the command came to its end. One that is not `configured` has nothing to do."""

    name: str
    configured: bool
    ran: bool = False
    verified: bool = False
    detail: str = ""

    @property
    def done(self) -> bool:
        return self.verified or not self.configured

    def told(self) -> dict[str, Any]:
        return dict(self._asdict())


def run_hook(name: str, config: NodeConfig) -> HookDone:
    """Run the command and its verification, as root."""
    hook = config.hooks.get(name)
    if hook is None:
        return HookDone(name, configured=False)
    deadline = Deadline(hook.timeout_s)
    ran = work(hook.command, hook.timeout_s)
    if ran.code != 0:
        return HookDone(name, True, ran=ran.code is not None, detail=_text("command", ran))
    checked = work(hook.verify, deadline.left_s())
    return HookDone(name, True, True, verified=checked.code == 0, detail=_text("verify", checked))


def not_run(name: str, config: NodeConfig, detail: str) -> HookDone:
    return HookDone(name, name in config.hooks, detail=f"not run: {detail}" if name in config.hooks else "")


def _text(which: str, ran: Ran) -> str:
    """How it ended, and the last of what it said."""
    end = ran.err if ran.code is None else f"exit code {ran.code}"
    said = " ".join(ran.out.split())[-_DETAIL_LIMIT:]
    return f"{which}: {end}{': ' + said if said else ''}"
