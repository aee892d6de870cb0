"""kill -9 at any moment: the store is whole, nothing acknowledged is lost, the next start has a new epoch."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from mailward.controller.coordination.local import LocalStore, init
from mailward.model.ports import Recorded

KILLS = 20
LONGEST_S = 0.04


def test_a_store_whose_writer_is_killed_again_and_again(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    init(directory)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    version, epoch = 1, 0
    with writer(directory) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for life in range(KILLS):
            program.stdin.write("go\n")
            program.stdin.flush()
            pid = int(program.stdout.readline().removeprefix("pid "))
            acknowledged = version
            if life % 4:  # else it may be killed while it starts
                acknowledged = int(program.stdout.readline())
            time.sleep(rng.uniform(0.0, LONGEST_S))
            os.kill(pid, signal.SIGKILL)
            while (line := program.stdout.readline()) != "dead\n":
                acknowledged = int(line)
            found = asyncio.run(started_anew(directory))
            assert found.versions.state >= acknowledged
            assert found.versions.epoch > max(epoch, found.state.epoch)
            leftovers = [path.name for path in directory.rglob(".*.new")]
            assert leftovers == []
            version, epoch = found.versions.state, found.versions.epoch
        program.stdin.close()
    print(f"{version} commits in {KILLS} lives")


async def started_anew(directory: Path) -> Recorded:
    store = LocalStore(directory)
    await store.lead()
    try:
        return await store.read()
    finally:
        store.close()


def writer(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.store_writer", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
