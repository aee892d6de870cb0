"""The protocol with `mailward-node serve`, over any transport: the model's port `Helper`.

An answer that is late, broken off or unreadable is UNKNOWN: the order may have been obeyed. Nothing is
sent twice: a second attempt is made only on a new connection and only before anything was said. The
helper's window of two seconds starts with its hello, so a request that is held up on the way is void.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

from mailward.fencing.channel import Channel, ChannelError, LineReader, Transport, complaint_of
from mailward.fencing.pipe import Pipe
from mailward.fencing.wire import (
    Malformed,
    answer_from_wire,
    facts_from_wire,
    nonce_of,
    parse_object,
    ports_to_wire,
    refusal_text,
    terms_to_wire,
)
from mailward.model.fencing import PLAIN, HelperAnswer, HelperReply, NodeFacts, PortMap, Terms
from mailward.model.token import Token

_MAX_PIPES = 16


class NodeHelper:
    """A node's helper. `timeout_s` bounds each call (an order's terms add `Terms.extra_s`), `hello_timeout_s`
    each attempt to reach it."""

    def __init__(self, transport: Transport, *, timeout_s: float = 6.0, hello_timeout_s: float = 2.5) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        self._hello_timeout_s = hello_timeout_s
        self._pipes: set[Pipe] = set()

    @property
    def name(self) -> str:
        """The transport's name: how the helper is reached."""
        return self._transport.name

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        request = {"do": "ports", "ports": ports_to_wire(ports), **terms_to_wire(terms)}
        return await self._send(token, request, terms.extra_s)

    async def claim(self, token: Token) -> HelperAnswer:
        return await self._send(token, {"do": "claim"})

    async def renew(self, token: Token) -> HelperAnswer:
        return await self._send(token, {"do": "renew"})

    async def status(self) -> NodeFacts | str:
        try:
            return facts_from_wire(await self._ask({"do": "status"}))
        except (ChannelError, Malformed) as error:
            return str(error)

    async def connect(self, service: str) -> socket.socket:
        """A connected socket whose other end is the service on the node's loopback: a probe speaks TLS
        through it with `asyncio.open_connection(sock=…, ssl=…)`. Raises as connecting does:
        ConnectionRefusedError or TimeoutError for the service, OSError when the helper fails."""
        if len(self._pipes) >= _MAX_PIPES:
            raise OSError(f"{_MAX_PIPES} pipes to this node are open already")
        try:
            async with asyncio.timeout(self._timeout_s):
                channel, lines, nonce = await self._greeted()
                try:
                    answer = await _exchange(channel, lines, {"do": "connect", "service": service}, nonce)
                    _raise_if_refused(answer)
                    pipe = Pipe(channel, lines)
                except BaseException:
                    channel.close()
                    raise
        except (ChannelError, Malformed) as error:
            raise OSError(f"the helper cannot connect: {error}") from error
        self._pipes.add(pipe)
        pipe.start(self._pipes.discard)
        return pipe.taken

    async def close(self) -> None:
        for pipe in list(self._pipes):
            await pipe.close()
        await self._transport.close()

    async def _send(self, token: Token, request: dict[str, Any], more_s: float = 0.0) -> HelperAnswer:
        try:
            return answer_from_wire(await self._ask({**request, "token": str(token)}, more_s), token)
        except (ChannelError, Malformed) as error:
            return HelperAnswer(HelperReply.UNKNOWN, detail=str(error))

    async def _ask(self, request: dict[str, Any], more_s: float = 0.0) -> dict[str, Any]:
        timeout_s = self._timeout_s + more_s
        try:
            async with asyncio.timeout(timeout_s):
                channel, lines, nonce = await self._greeted()
                try:
                    return await _exchange(channel, lines, request, nonce)
                finally:
                    channel.close()
        except TimeoutError as error:
            self._transport.forget()
            raise ChannelError(f"no answer within {timeout_s:g} s") from error

    async def _greeted(self) -> tuple[Channel, LineReader, str]:
        """A process that has said hello; once more on a new connection when an older one has died."""
        try:
            return await self._greet()
        except ChannelError:
            if not self._transport.forget():
                raise
            return await self._greet()

    async def _greet(self) -> tuple[Channel, LineReader, str]:
        channel = None
        try:
            async with asyncio.timeout(self._hello_timeout_s):
                channel = await self._transport.open()
                lines = LineReader(channel.reader)
                return channel, lines, nonce_of(parse_object(await lines.line()))
        except (ChannelError, Malformed, TimeoutError) as error:
            said = await complaint_of(channel)
            reason = (
                f"no hello within {self._hello_timeout_s:g} s" if isinstance(error, TimeoutError) else error
            )
            raise ChannelError(f"{reason}{': ' + said if said else ''}") from error
        except BaseException:
            if channel is not None:
                channel.close()
            raise


async def _exchange(
    channel: Channel, lines: LineReader, request: Mapping[str, Any], nonce: str
) -> dict[str, Any]:
    line = json.dumps({**request, "nonce": nonce}, separators=(",", ":"))
    try:
        channel.writer.write(line.encode() + b"\n")
        await channel.writer.drain()
    except OSError as error:
        raise ChannelError(f"the request could not be sent: {error}") from error
    return parse_object(await lines.line())


def _raise_if_refused(answer: Mapping[str, Any]) -> None:
    if answer.get("ok") is True:
        return
    error = answer.get("error")
    if error == "service-refused":
        raise ConnectionRefusedError(refusal_text(answer))
    if error == "service-timeout":
        raise TimeoutError(refusal_text(answer))
    raise OSError(refusal_text(answer))
