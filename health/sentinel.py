"""One held, cheap connection per service: a crash ends it, a hang leaves its NOOP unanswered.

Either is only a sign, and calls for a probe at once: servers close idle connections for reasons of
their own. The connection is renewed before a server would mind (Postfix counts a hundredth NOOP as
junk, Dovecot drops who does not log in for 180 s) and never logs in. There is one at a time; where it
cannot be had or does not last, it is tried ever more rarely, and regular probes do without it.
"""

import asyncio
import random
from collections.abc import Callable

from mailward.health.dialogues import Dialogue, Failed, Idle, ImapHold, Security, Send, SmtpHold, SmtpSettings
from mailward.health.dialogues.dialogue import Event
from mailward.health.streams import ByteStream, StreamFailed, classed
from mailward.health.target import Target
from mailward.health.tls import TlsStream
from mailward.model.health import FailureKind

_LASTING_S = 30.0
"""A connection held this long was welcome: the next loss starts the back-off anew."""


class _Lost(Exception):
    """The held connection is of no more use; the text says why."""


class Sentinel:
    """Holds the connection while `wanted`, and calls `alarm` when it is lost or hangs."""

    def __init__(
        self,
        target: Target,
        wanted: Callable[[], bool],
        alarm: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self._target = target
        self._pace = target.pace
        self._wanted = wanted
        self._alarm = alarm
        self._rng = rng
        self._hurry = asyncio.Event()
        self._delay_s = target.pace.reconnect_s
        self.held = False

    async def run(self) -> None:
        self.held = renewing = False
        while True:
            self._hurry.clear()
            if not self._wanted():
                renewing = False
                await self._hurried_within(self._pace.noop_s)
                continue
            try:
                renewing = await self._hold()
            except _Lost as lost:
                if (self.held or renewing) and self._wanted():
                    self._alarm(str(lost))
                self.held = renewing = False
                await self._back_off()

    def hurry(self) -> None:
        """The service is up again: do not wait any longer."""
        self._delay_s = self._pace.reconnect_s
        self._hurry.set()

    async def _hold(self) -> bool:
        """Hold one connection until it must be renewed (True) or is not wanted any more (False)."""
        connection = _Connection(self._target)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await connection.open()
            self.held = True
            for _ in range(self._pace.noops_per_connection):
                await connection.rest(_to_next_beat_s(loop.time(), self._pace.noop_s))
                await connection.ask()
                age_s = loop.time() - began_s
                if age_s >= _LASTING_S:
                    self._delay_s = self._pace.reconnect_s
                if not self._wanted() or age_s >= self._pace.connection_s:
                    break
            await connection.leave()
        finally:
            connection.close()
        self.held = False
        return self._wanted()

    async def _back_off(self) -> None:
        if not await self._hurried_within(self._delay_s * (0.8 + 0.4 * self._rng.random())):
            self._delay_s = min(2 * self._delay_s, self._pace.reconnect_max_s)

    async def _hurried_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return False
        return True


def _to_next_beat_s(now_s: float, noop_s: float) -> float:
    """All sentinels ask on one beat, so that this process wakes once for all of them."""
    to_beat_s = noop_s - now_s % noop_s
    return to_beat_s if to_beat_s > noop_s / 20 else to_beat_s + noop_s


class _Connection:
    """One held connection. Every method has a deadline and raises `_Lost`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pace = target.pace
        settings = target.settings
        self._dialogue: Dialogue = (
            SmtpHold(settings) if isinstance(settings, SmtpSettings) else ImapHold(settings)
        )
        self._stream: ByteStream | None = None

    async def open(self) -> None:
        loop, limits = asyncio.get_running_loop(), self._pace.limits
        began_s = loop.time()
        try:
            async with asyncio.timeout(limits.answer_s) as timeout:
                self._stream = await self._target.direct.connect()
                if self._target.settings.security is Security.IMPLICIT:
                    await self._secure(self._stream, lambda: timeout.reschedule(began_s + limits.work_s))
                await self._until_idle(self._dialogue.start())
        except TimeoutError:
            raise _Lost(f"no greeting in {loop.time() - began_s:.1f} s") from None
        except (OSError, StreamFailed) as error:
            raise _Lost(str(classed(error, "connect"))) from error

    async def rest(self, seconds: float) -> None:
        """Wait, and notice at once if the server ends the connection."""
        try:
            async with asyncio.timeout(seconds):
                await self._until_idle(await self._hear())
        except TimeoutError:
            return

    async def ask(self) -> None:
        """NOOP, and its answer."""
        try:
            async with asyncio.timeout(self._pace.noop_answer_s):
                await self._until_idle(self._dialogue.proceed())
        except TimeoutError:
            raise _Lost(f"no answer to NOOP in {self._pace.noop_answer_s:.1f} s") from None

    async def leave(self) -> None:
        """Say goodbye, and do not wait for the answer."""
        if self._stream is not None:
            try:
                async with asyncio.timeout(self._pace.noop_answer_s):
                    await self._stream.write(self._dialogue.farewell)
            except (OSError, StreamFailed):  # a TimeoutError is an OSError
                return

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    async def _secure(self, stream: ByteStream, heard: Callable[[], None]) -> None:
        if self._target.tls is None:
            raise _Lost("TLS is wanted, but no CAs or name are set")
        secured = TlsStream(stream, self._target.tls)
        await secured.handshake(heard)
        self._stream = secured

    async def _until_idle(self, events: list[Event]) -> None:
        assert self._stream is not None
        while True:
            for event in events:
                if isinstance(event, Failed):
                    raise _Lost(str(event.failure))
                if isinstance(event, Send):
                    await self._stream.write(event.data)
                if isinstance(event, Idle):
                    return
            events = await self._hear()

    async def _hear(self) -> list[Event]:
        assert self._stream is not None
        try:
            data = await self._stream.read()
        except (OSError, StreamFailed) as error:
            failure = classed(error, self._dialogue.stage)
            return self._dialogue.lost(failure.kind, failure.detail)
        return self._dialogue.receive(data) if data else self._dialogue.lost(FailureKind.CLOSED)
