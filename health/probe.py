"""One probe: a dialogue from connect to close, within its deadlines.

Every stage has a deadline of its own, the whole has one too; bytes do not extend either, so a server
that drips is as late as a silent one. The connection is dropped without lingering however it ends. A
deadline that fires late says that this process was starved, not that the server was slow: LOCAL.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mailward.health.dialogues import (
    Dialogue,
    Done,
    Enter,
    Event,
    Failed,
    ImapDialogue,
    ImapSettings,
    Security,
    Send,
    SmtpDialogue,
    SmtpSettings,
    StartTls,
)
from mailward.health.streams import ByteStream, Connector, StreamFailed, classed
from mailward.health.tls import TlsClient, TlsStream
from mailward.model.health import Certificate, Failure, FailureKind, ProbeResult, StageTime

log = logging.getLogger(__name__)

_WORKING = frozenset({"auth", "login", "examine", "mail", "rcpt"})
_STARVED_S = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds. `answer_s` is for what a server answers out of hand (connect, banner,
    the first byte of its handshake), `work_s` for what makes it work (the whole handshake, login,
    mailbox, envelope)."""

    connect_s: float = 1.2
    answer_s: float = 1.2
    work_s: float = 3.0
    total_s: float = 8.0

    def of(self, stage: str) -> float:
        if stage == "connect":
            return self.connect_s
        return self.work_s if stage in _WORKING else self.answer_s


def dialogue_for(settings: SmtpSettings | ImapSettings) -> Dialogue:
    return SmtpDialogue(settings) if isinstance(settings, SmtpSettings) else ImapDialogue(settings)


async def run_probe(
    settings: SmtpSettings | ImapSettings,
    connector: Connector,
    tls: TlsClient | None,
    limits: Limits | None = None,
    wall: Callable[[], float] = time.time,
) -> ProbeResult:
    """Probe once. Never raises but for cancellation; `wall` gives seconds since the epoch."""
    return await _Run(settings, connector, tls, limits or Limits(), wall).run()


class _Run:
    """The state of one probe."""

    def __init__(
        self,
        settings: SmtpSettings | ImapSettings,
        connector: Connector,
        tls: TlsClient | None,
        limits: Limits,
        wall: Callable[[], float],
    ) -> None:
        self._implicit = settings.security is Security.IMPLICIT
        self._dialogue = dialogue_for(settings)
        self._connector = connector
        self._tls = tls
        self._limits = limits
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._stream: ByteStream | None = None
        self._stage, self._stage_began = "connect", self._loop.time()
        self._last_moment = self._stage_began + limits.total_s
        self._times: list[StageTime] = []
        self._certificate: Certificate | None = None

    async def run(self) -> ProbeResult:
        failure: Failure | None
        try:
            async with self._timeout:
                failure = await self._talk()
        except TimeoutError as error:
            failure = self._late() if self._timeout.expired() else classed(error, self._stage)
        except (OSError, StreamFailed) as error:
            failure = classed(error, self._stage)
        except Exception as error:  # a bug of ours, or of an injected connector
            log.exception("probe failed by itself at %s", self._stage)
            failure = Failure(FailureKind.LOCAL, self._stage, type(error).__name__)
        finally:
            if self._stream is not None:
                self._stream.close()
        return ProbeResult(failure, tuple(self._times), self._dialogue.answered_by, self._certificate)

    async def _talk(self) -> Failure | None:
        self._begin("connect")
        self._stream = await self._connector.connect()
        if self._implicit:
            await self._secure()
        events = self._dialogue.start()
        while True:
            secured = False
            for event in events:
                if isinstance(event, Done):
                    self._end_stage()
                    return None
                if isinstance(event, Failed):
                    return event.failure
                secured = await self._obey(event) or secured
            events = self._dialogue.secured() if secured else await self._hear()

    async def _obey(self, event: Event) -> bool:
        """Do what an event says; True after a TLS handshake."""
        assert self._stream is not None
        if isinstance(event, Enter):
            self._end_stage()
            self._begin(event.stage)
        elif isinstance(event, Send):
            await self._stream.write(event.data)
        elif isinstance(event, StartTls):
            await self._secure()
            return True
        return False

    async def _hear(self) -> list[Event]:
        assert self._stream is not None
        try:
            data = await self._stream.read()
        except (OSError, StreamFailed) as error:
            failure = classed(error, self._stage)
            return self._dialogue.lost(failure.kind, failure.detail)
        return self._dialogue.receive(data) if data else self._dialogue.lost(FailureKind.CLOSED)

    async def _secure(self) -> None:
        self._end_stage()
        self._begin("tls")
        assert self._stream is not None
        if self._tls is None:
            raise StreamFailed(FailureKind.LOCAL, "TLS is wanted, but no CAs or name are set")
        stream = TlsStream(self._stream, self._tls)
        await stream.handshake(heard=lambda: self._allow(self._limits.work_s))
        self._stream = stream
        self._certificate = stream.certificate(self._wall())
        self._end_stage()

    def _begin(self, stage: str) -> None:
        self._stage, self._stage_began = stage, self._loop.time()
        self._allow(self._limits.of(stage))

    def _allow(self, seconds: float) -> None:
        self._timeout.reschedule(min(self._stage_began + seconds, self._last_moment))

    def _end_stage(self) -> None:
        if self._stage:
            self._times.append(StageTime(self._stage, self._loop.time() - self._stage_began))
            self._stage = ""

    def _late(self) -> Failure:
        deadline = self._timeout.when()
        late_s = self._loop.time() - deadline if deadline is not None else 0.0
        if late_s > _STARVED_S:
            return Failure(FailureKind.LOCAL, self._stage, f"this process stood still for {late_s:.1f} s")
        waited_s = self._loop.time() - self._stage_began
        return Failure(FailureKind.TIMEOUT, self._stage, f"no answer in {waited_s:.1f} s")
