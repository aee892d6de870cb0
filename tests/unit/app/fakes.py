"""A daemon that shows a scene: what the API and the command line see of a real one."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.app import scenes

from mailward.app import rungs
from mailward.app.live import View
from mailward.app.status import RungTried
from mailward.controller.core.decide import decide
from mailward.model.decision import Decision
from mailward.model.errors import StoreError
from mailward.model.state import Pause, Request


@dataclass
class FakeDaemon:
    """`app.live.Live` over a fixed view; remembers what was left and shows requests as waiting."""

    shown: View
    posted: list[Request | Pause | None] = field(default_factory=list)
    broken: str = ""
    hangs: bool = False
    helper: Any = None
    asked: Any = None
    device: Any = None

    def view(self) -> View:
        return self.shown

    def dry_run(self, request: Request) -> Decision:
        assert self.shown.snapshot is not None
        return decide(replace(self.shown.snapshot, requests=(request,)))

    async def try_rungs(self, node: str) -> tuple[RungTried, ...]:
        assert self.shown.snapshot is not None
        means = rungs.Means(self.shown.snapshot, node, self.helper, self.asked, self.device)
        return await rungs.try_all(means)

    async def post(self, entry: Request | Pause | None) -> None:
        if self.hangs:
            await asyncio.sleep(60)
        if self.broken:
            raise StoreError(self.broken)
        self.posted.append(entry)


def daemon(name: str = "healthy") -> FakeDaemon:
    return FakeDaemon(scenes.starting() if name == "starting" else scenes.SCENES[name]().view())
