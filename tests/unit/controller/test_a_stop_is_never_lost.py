"""A stop that comes in the very moment the store answers: it was swallowed once, and the daemon hung."""

import asyncio
from pathlib import Path

import pytest

from mailward.controller.coordination.local import LocalStore


async def test_a_cancellation_is_not_swallowed_by_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[None] = loop.create_future()
    monkeypatch.setattr(loop, "run_in_executor", lambda *_: answer)
    task = asyncio.create_task(LocalStore(tmp_path).read())
    await asyncio.sleep(0)
    answer.set_result(None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
