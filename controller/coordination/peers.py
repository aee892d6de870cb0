"""What the daemons know of each other without the store: each holds a connection to every other one.

A host closes the connections of a process that ends. That alone is no proof: firewalls and proxies close
connections as well. So who loses one asks at once: where the host refuses, nobody listens there any more, and
where another process answers under that name, the one before has ended. Everything else is silence: a host
that died, froze or was cut off says nothing, nor does a process that stands still.

What is said: whoever is connected to says who it is, in one line of JSON, and from then on answers each
empty line with its newest report, one line of JSON, or with an empty one while it has none; and a question, a
JSON object on one line, with another one. With TLS both sides show a certificate of the same authority, made
out to the observer's name; in the clear anybody may say anything, as anybody may write to the store. Reports
that come this way are shown while the store is out of reach, and decide nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from mailward.controller.codec import REPORT, to_bytes
from mailward.controller.coordination.answering import (
    ANSWER,
    Answering,
    Object,
    Pace,
    names_of,
    no_answer,
    object_in,
)
from mailward.controller.coordination.tls import Tls
from mailward.model.errors import StoreError
from mailward.model.ports import Clock
from mailward.model.report import MOST_GONE, Report
from mailward.model.snapshot import ObserverView

log = logging.getLogger(__name__)

_HANGS_UP = "it hangs up on us: it may not believe our certificate, or not know our name"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another observer, and where its daemon listens."""

    name: str
    host: str
    port: int


class _Silence(Exception):
    """Nothing is known of the process; the text says why."""


class _Refused(Exception):
    """The host says that nobody listens there."""


@dataclass(frozen=True, slots=True)
class Told:
    """A report that came directly, asked for at `asked_s` of boot time: it is not older than that."""

    asked_s: float
    report: Report


class Peers:
    """`name` and `nonce` are this process's, `report` gives what it reports. `gone` are the processes that
    it saw end, `on_end` is called when that changes; `told` is what the others report; `apart` says of each
    why there is no speaking with it, '' where there is. `answer` gives what others get who `ask`: the peers,
    and who else is `admitted`, of whom nobody knows where they are."""

    def __init__(
        self, cluster: str, name: str, nonce: str, peers: Sequence[Peer], clock: Clock,
        tls: Tls | None = None, *, report: Callable[[], Report | None] = lambda: None,
        answer: Callable[[Object], Awaitable[Object]] = no_answer, admitted: Collection[str] = (),
        on_end: Callable[[], None] = lambda: None, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.gone: tuple[str, ...] = ()
        self.told: dict[str, Told] = {}
        self.apart: dict[str, str] = {peer.name: "not tried yet" for peer in peers}
        self._clock = clock
        self._cluster = cluster
        self._peers = tuple(peers)
        self._tls = tls
        self._on_end = on_end
        self._pace = pace or Pace()
        self._known: dict[str, str] = {}
        self._answering = Answering(
            {"cluster": cluster, "name": name, "nonce": nonce}, {peer.name for peer in peers} | set(admitted),
            tls, self._pace, report, answer,
        )  # fmt: skip

    async def run(self, listen: tuple[str | None, int] | None) -> None:
        """Watch the others, and be watched where it listens, until cancelled. OSError: it cannot listen."""
        async with self._answering.at(listen), asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.Event().wait(), name="peers")
            for peer in self._peers:
                tasks.create_task(self._watch(peer), name=f"peer {peer.name}")

    def newer_than(self, views: Sequence[ObserverView]) -> tuple[ObserverView, ...]:
        """The views, with what came directly where that is newer."""
        now_s = self._clock.now().boot_s
        return tuple(self._newer(view, self.told.get(view.name), now_s) for view in views)

    @staticmethod
    def _newer(view: ObserverView, told: Told | None, now_s: float) -> ObserverView:
        if told is None or (view.report is not None and view.age_s <= now_s - told.asked_s):
            return view
        return replace(view, report=told.report, age_s=now_s - told.asked_s, still_s=0.0)

    # asking

    async def ask(self, question: Object, timeout_s: float) -> dict[str, Object]:
        """What the others answer, by name; of those alone that do in time."""
        asked = [self._ask_one(peer, question, timeout_s) for peer in self._peers]
        answers = zip(self._peers, await asyncio.gather(*asked), strict=True)
        return {peer.name: answer for peer, answer in answers if answer is not None}

    async def _ask_one(self, peer: Peer, question: Object, timeout_s: float) -> Object | None:
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connect(peer)
                try:
                    await self._who(peer, reader, writer)
                    writer.write(to_bytes(question) + b"\n")
                    return object_in(await self._read(reader))
                finally:
                    writer.transport.abort()
        except (_Silence, _Refused, TimeoutError, ValueError) as error:
            log.debug("%s does not answer: %s", peer.name, error)
            return None

    # watching

    async def _watch(self, peer: Peer) -> None:
        wait_s, now = self._pace.retry_s, asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                await self._hold(peer)
            except _Refused:
                self._saw_end(peer, self._known.pop(peer.name, ""))
                self._say(peer, "nobody listens there")
            except _Silence as silence:
                self._say(peer, str(silence))
            else:  # it was held, and is lost: look at once who is there
                wait_s = self._pace.retry_s
                if now() - began > wait_s:
                    continue
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._pace.retry_max_s)

    def _say(self, peer: Peer, trouble: str) -> None:
        if trouble != self.apart[peer.name]:
            log.info("no connection to the daemon %s at %s:%d: %s", peer.name, peer.host, peer.port, trouble)
        self.apart[peer.name] = trouble

    async def _hold(self, peer: Peer) -> None:
        """Returns when a connection that was held is lost."""
        reader, writer = await self._connect(peer)
        try:
            nonce = await self._who(peer, reader, writer)
            before = self._known.get(peer.name, nonce)
            self._known[peer.name] = nonce
            if before != nonce:
                self._saw_end(peer, before)
            self._saw_alive(peer, nonce)
            self.apart[peer.name] = ""
            with contextlib.suppress(_Silence):
                while True:
                    await self._ask(peer, reader, writer)
                    await self._rest(reader)
        finally:
            writer.transport.abort()

    async def _ask(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What it reports; _Silence when it does not answer. Who answers something else is there all the
        same."""
        asked_s = self._clock.now().boot_s
        writer.write(b"\n")
        line = await self._line(reader)
        if not line.endswith(b"\n"):
            raise _Silence("the connection ended")
        if line == b"\n":
            return
        try:
            report = REPORT.load(line, f"what {peer.name} answered")
        except StoreError as error:
            self._say(peer, str(error))
            return
        if report.observer != peer.name:
            self._say(peer, f"it answered with a report of {report.observer[:64]!r}")
            return
        self.told[peer.name] = Told(asked_s, report)
        self.apart[peer.name] = ""

    async def _rest(self, reader: asyncio.StreamReader) -> None:
        """Until it is time to ask; _Silence when the connection ends before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.ask_s):
                await self._read(reader)
                raise _Silence("the connection ended, or something was said that nobody had asked for")

    async def _connect(self, peer: Peer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            context = self._tls.context() if self._tls else None
            if context is not None:
                context.check_hostname = False  # it is looked at by name, wherever the daemon runs
        except OSError as error:  # also ssl.SSLError: it may just be renewed
            raise _Silence(f"our certificate, key or CA cannot be read: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._pace.answer_s):
                return await asyncio.open_connection(
                    peer.host,
                    peer.port,
                    limit=ANSWER,
                    ssl=context,
                    server_hostname=peer.name if context else None,
                )
        except ConnectionRefusedError as error:
            raise _Refused from error
        except TimeoutError as error:
            raise _Silence(f"no answer within {self._pace.answer_s:g} s") from error
        except (OSError, ValueError) as error:  # ValueError: a name that is none
            told = str(getattr(error, "strerror", None) or error) or type(error).__name__
            raise _Silence(told) from error

    async def _who(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        if self._tls is not None and peer.name not in names_of(writer):
            raise _Silence(
                f"its certificate is made out to {', '.join(sorted(names_of(writer))) or 'nobody'}"
            )
        try:
            said = object_in(await self._line(reader))
        except ValueError as error:
            raise _Silence(_HANGS_UP if self._tls is not None else "it does not say who it is") from error
        if not isinstance(said.get("nonce"), str):
            raise _Silence("it does not say who it is")
        if (said.get("cluster"), said.get("name")) != (self._cluster, peer.name):
            raise _Silence(f"it is {str(said.get('name'))[:64]!r} of {str(said.get('cluster'))[:64]!r}")
        return str(said["nonce"])[:64]

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._pace.answer_s):
                return await self._read(reader)
        except TimeoutError as error:
            raise _Silence(f"no answer within {self._pace.answer_s:g} s") from error

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except (OSError, ValueError) as error:
            raise _Silence(str(error)) from error

    def _saw_end(self, peer: Peer, nonce: str) -> None:
        if not nonce or nonce in self.gone:
            return
        log.warning("the process %s of the daemon %s has ended", nonce, peer.name)
        self.gone = (*self.gone, nonce)[-MOST_GONE:]
        self._on_end()

    def _saw_alive(self, peer: Peer, nonce: str) -> None:
        """It was not at its end: something between had refused in its place."""
        if nonce in self.gone:
            log.warning("the process %s of the daemon %s has not ended", nonce, peer.name)
            self.gone = tuple(each for each in self.gone if each != nonce)
            self._on_end()
