"""A program that writes to a local store as fast as it can, to be killed.

Each line on its input starts a writer (forked, so that starting costs nothing); its pid and the version
of every acknowledged commit are printed, and `dead` when it is gone.
"""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from mailward.controller.codec import PAUSE, REQUEST, STATE
from mailward.controller.coordination.local import LocalStore
from mailward.model.clock import Moment
from mailward.model.ports import Commit
from mailward.model.state import Answer, Pause, Request, RequestKind, State

NOW = Moment("boot", 1.0, 1.0)


async def write(directory: Path) -> None:
    store = LocalStore(directory)
    await store.lead()
    for number in range(10**9):
        seen = await store.read()
        if number % 5 == 0:
            await store.post(Request(f"r-{os.getpid()}-{number}", RequestKind.DRAIN, "a", "x", "", NOW))
        if number % 7 == 0:
            await store.post(Pause("x", "y", NOW, 2.0) if number % 2 else None)
        answers = tuple(Answer(r.id, False, "no", NOW) for r in seen.requests)
        epoch = seen.versions.epoch
        wanted: State = replace(
            seen.state, epoch=epoch, seq=number, answers=(*seen.state.answers, *answers)[-20:]
        )
        if await store.record(wanted, seen.versions) is Commit.COMMITTED:
            os.write(1, f"{seen.versions.state + 1}\n".encode())


def warm_up() -> None:
    """What is made at first use, made before forking."""
    STATE.load(STATE.dump(State("0123456789ab", 1)), "warm")
    REQUEST.plain(Request("r", RequestKind.DRAIN, "a", "x", "", NOW))
    PAUSE.plain(Pause("x", "y", NOW, 2.0))


def main() -> None:
    directory = Path(sys.argv[1])
    warm_up()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(write(directory))
            finally:
                os._exit(1)
        os.write(1, f"pid {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
