"""The way through the store: a helper's dialogue, passed on by the daemon beside its node.

Who asks and that daemon write each other letters. The daemon starts its own helper and passes on the lines of
`serve` as they are, the hello first. So the nonce that a request must name is the helper's, and so is the
clock that counts the two seconds for it, however a letter was held back: by a server that is behind, by a
daemon or an asker that stood still. What a daemon reads late starts a helper with another nonce, which nobody
answers: it obeys nothing and ends. The daemon decides nothing, and is believed no more than a wire is. Two
who ask (the leader of before, and the one of now) have a letter each, and the helper knows by their tokens
whom to obey.

A letter is all that its writer has said so far, so nothing is missed when it is written twice between two
looks. It goes when its writer lets go of it, and with its writer's session at the latest.

Left out: a pipe to a service; the store carries letters, no streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import socket
from dataclasses import dataclass

from mailward.fencing.channel import Channel, ChannelError, LineReader, Transport, complaint_of
from mailward.fencing.helper import NodeHelper
from mailward.model.errors import StoreError
from mailward.model.ports import Box, Letters

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Dialogues that a daemon passes on side by side; it takes up no more."""
LONGEST_S = 200.0
"""Of a dialogue: more than an order of all terms may take."""
RETRY_S = 1.0
_ID = re.compile(r"[0-9a-f]{32}")
_END_LIMIT = 400
_CLOSING_S = 2.0


@dataclass(frozen=True, slots=True)
class _Letter:
    """All that one side has said so far; `end` why it says no more, None while it may."""

    said: str = ""
    end: str | None = None

    def to_bytes(self) -> bytes:
        return json.dumps({"said": self.said, "end": self.end}, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes, where: str) -> _Letter:
        """`ChannelError` where it is none."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"{where} holds no letter: {content[:40]!r}") from error
        said, end = (found.get("said"), found.get("end")) if isinstance(found, dict) else (None, None)
        if not isinstance(said, str) or not (end is None or isinstance(end, str)):
            raise ChannelError(f"{where} holds no letter: {content[:40]!r}")
        return cls(said, end if end is None else end[:_END_LIMIT])


# who asks


class _Asked:
    """One dialogue, as it is seen by who asks."""

    def __init__(self, letters: Letters, node: str, id: str, let_go: contextlib.ExitStack) -> None:
        self._letters = letters
        self._node = node
        self._id = id
        self._let_go = let_go
        self._ours = _Letter()
        self._content: bytes | None = None
        self._theirs = _Letter()
        self._read = 0

    @property
    def reader(self) -> _Asked:
        return self

    @property
    def writer(self) -> _Asked:
        return self

    async def read(self, _n: int = -1, /) -> bytes:
        while len(self._theirs.said) == self._read and self._theirs.end is None:
            try:
                content = await self._letters.changed(Box.ANSWERS, self._node, self._id, self._content)
            except StoreError as error:
                raise ChannelError(str(error)) from error
            if content is None:
                raise ChannelError(f"the daemon beside {self._node} has let go of it")
            self._content = content
            self._theirs = _Letter.parse(content, f"the answer of the daemon beside {self._node}")
        if len(self._theirs.said) == self._read and self._theirs.end is not None:
            raise ChannelError(self._theirs.end)
        new, self._read = self._theirs.said[self._read :], len(self._theirs.said)
        return new.encode()

    def write(self, data: bytes, /) -> None:
        self._ours = _Letter(self._ours.said + data.decode())

    async def drain(self) -> None:
        try:
            await self._letters.write(Box.ASKS, self._node, self._id, self._ours.to_bytes())
        except StoreError as error:
            raise ChannelError(str(error)) from error

    async def complaint(self) -> str:
        taken_up = self._content is not None
        return "" if taken_up else f"the daemon beside {self._node} has not taken it up"

    def close(self) -> None:
        self._let_go.close()


class AskTransport:
    """`node` is the one whose daemon is asked."""

    name = "ask"

    def __init__(self, letters: Letters, node: str) -> None:
        self._letters = letters
        self._node = node
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> Channel:
        id = secrets.token_hex(16)
        let_go = contextlib.ExitStack()
        let_go.callback(self._remove, id)
        asked = _Asked(self._letters, self._node, id, let_go)
        try:
            await asked.drain()
        except BaseException:
            asked.close()
            raise
        return asked

    def forget(self) -> bool:
        return False

    async def close(self) -> None:
        """Wait a moment until the letters are gone."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSING_S)

    def _remove(self, id: str) -> None:
        task = asyncio.create_task(self._removed(id), name=f"end of a question to {self._node}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _removed(self, id: str) -> None:
        with contextlib.suppress(StoreError):
            await self._letters.remove(Box.ASKS, self._node, id)


class AskedHelper(NodeHelper):
    """The helper of a node, by way of the daemon beside it."""

    def __init__(
        self, letters: Letters, node: str, *, timeout_s: float = 6.0, hello_timeout_s: float = 2.5
    ) -> None:
        super().__init__(AskTransport(letters, node), timeout_s=timeout_s, hello_timeout_s=hello_timeout_s)

    async def connect(self, service: str) -> socket.socket:
        raise OSError(f"{service} is not reached through the store")


# the daemon beside the node


class Answering:
    """Passes questions to `node` on to its helper, which `helper` starts."""

    def __init__(self, letters: Letters, node: str, helper: Transport) -> None:
        self._letters = letters
        self._node = node
        self._helper = helper
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        known: frozenset[str] = frozenset()
        try:
            while True:
                known = await self._look(known)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, known: frozenset[str]) -> frozenset[str]:
        try:
            found = await self._letters.names(Box.ASKS, self._node, known)
        except StoreError as error:
            if str(error) != self._trouble:
                log.warning("no question to %s is heard: %s", self._node, error)
            self._trouble = str(error)
            await asyncio.sleep(RETRY_S)
            return known
        self._trouble = ""
        for id in sorted(found - known):
            if _ID.fullmatch(id) is None or len(self._tasks) >= AT_ONCE:
                log.warning("a question to %s is passed over: %s", self._node, id[:40])
                continue
            task = asyncio.create_task(self._answer(id), name=f"question to {self._node} {id}")
            self._tasks[id] = task
            task.add_done_callback(lambda _, id=id: self._tasks.pop(id, None))  # type: ignore[misc]
        return found

    async def _answer(self, id: str) -> None:
        """Until who asks has let go of it, whatever has been said by then."""
        passing = asyncio.create_task(self._pass_on(id), name=f"helper asked {id}")
        waiting = asyncio.create_task(self._until_let_go(id), name=f"wait for the end of {id}")
        try:
            async with asyncio.timeout(LONGEST_S):
                await asyncio.wait([passing, waiting], return_when=asyncio.FIRST_COMPLETED)
                if passing.done():
                    passing.result()
                await waiting
        except TimeoutError:
            log.warning("a question to %s was not let go within %g s", self._node, LONGEST_S)
        except (StoreError, ChannelError) as error:
            log.warning("a question to %s could not be answered: %s", self._node, error)
        finally:
            for task in (passing, waiting):
                task.cancel()
            await asyncio.gather(passing, waiting, return_exceptions=True)
            with contextlib.suppress(StoreError):
                await self._letters.remove(Box.ANSWERS, self._node, id)

    async def _pass_on(self, id: str) -> None:
        """The helper's hello, then the request to it, then its answer."""
        channel, said = None, ""
        try:
            channel = await self._helper.open()
            lines = LineReader(channel.reader)
            said = await self._passed(id, said, await lines.line())
            answer = asyncio.create_task(lines.line(), name=f"answer of the helper to {id}")
            try:
                await self._put(id, channel, answer)
                await self._passed(id, said, await answer)
            finally:
                answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)
        except (ChannelError, OSError) as error:
            broken, channel = channel, None
            complaint = await complaint_of(broken)
            end = f"{error}{': ' + complaint if complaint else ''}"
            await self._write(id, _Letter(said, end[:_END_LIMIT]))
        finally:
            if channel is not None:
                channel.close()

    async def _put(self, id: str, channel: Channel, answer: asyncio.Task[bytes]) -> None:
        """Pass the request on, unless the helper has waited long enough for it and says so."""
        request = asyncio.create_task(self._request(id), name=f"request {id}")
        try:
            await asyncio.wait([request, answer], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                channel.writer.write(await request)
                await channel.writer.drain()
        finally:
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)

    async def _passed(self, id: str, said: str, line: bytes) -> str:
        said += f"{line.decode(errors='replace')}\n"
        await self._write(id, _Letter(said))
        return said

    async def _write(self, id: str, letter: _Letter) -> None:
        await self._letters.write(Box.ANSWERS, self._node, id, letter.to_bytes())

    async def _request(self, id: str) -> bytes:
        """The line that is asked."""
        content: bytes | None = b""
        while (content := await self._letters.changed(Box.ASKS, self._node, id, content)) is not None:
            said = _Letter.parse(content, f"the question {id}").said
            if "\n" in said:
                return said.encode()
        raise ChannelError("nobody waits for an answer any more")

    async def _until_let_go(self, id: str) -> None:
        content: bytes | None = b""
        while content is not None:
            content = await self._letters.changed(Box.ASKS, self._node, id, content)
