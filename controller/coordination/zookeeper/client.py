"""One connection to ZooKeeper: kazoo in its threads, the daemon in its loop, and a deadline on every call.

Measured, and worked around here:

- A deadline does not take a request back: what was not answered may have been done, or be done later.
- kazoo keeps requests that are made while it is not connected, for ever; none is made then.
- It may hold a dead server for connected as long as requests are made more often than it pings: whoever finds
  that nothing is answered calls `hang_up`, and it connects anew, to another server first.
- It gives a server a whole session's timeout to take a connection: then the session is lost with it.
- A server whose data are older than what a client has seen gives it no session: after a loss of all data,
  for ever. What was seen need not be remembered: each reading asks for `sync` first, each write for versions.
- It does not tell which session timeout the server granted, and says that it is connected before it has
  shown who it is.
- A failed transaction is a list of errors, not one that is raised; a lost connection may hide one that held.
- A version of -1 means any, and znodes begin with 0: what was never there would match everything.
- A server that refuses our password ends its thread.
- Its retries would make a node twice, or in another session: nothing is retried.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kazoo import exceptions
from kazoo.client import KazooClient, TransactionRequest
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState

from mailward.controller.coordination.zookeeper.values import (
    Acl,
    Create,
    Delete,
    Found,
    Servers,
    Step,
    Write,
    Znode,
    sent,
    understood,
    znode,
)
from mailward.model.errors import NoRight, StoreError, Unanswered

log = logging.getLogger(__name__)

STOP_S = 3.0
CONNECT_S = 1.5
"""For a connection and its TLS: whoever does not take one so long is not the one to wait for."""


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Connections within `CONNECT_S`; the server `given_up` is passed over once."""

    given_up: tuple[str, int] | None = None

    def create_connection(self, *arguments: Any, **options: Any) -> Any:
        if options["address"] == self.given_up:
            self.given_up = None
            raise self.timeout_exception("it has just been given up")
        options["timeout"] = min(options["timeout"], CONNECT_S)
        return super().create_connection(*arguments, **options)


@dataclass(frozen=True, slots=True)
class _Told:
    """A watch; kazoo keeps equal ones once."""

    on_change: Callable[[], None]
    in_loop: Callable[[Callable[[], None]], None]

    def __call__(self, _event: Any) -> None:
        self.in_loop(self.on_change)


class Client:
    """`on_change` is called in the loop whenever something that was read has changed, or the connection.
    `trouble` is why there is none, as far as somebody has looked, `refusal` what a server has said."""

    def __init__(self, servers: Servers, on_change: Callable[[], None] = lambda: None) -> None:
        self.session_s = servers.session_s
        self.trouble = self.refusal = ""
        self._servers = servers
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected = threading.Event()
        self._session: int | None = None
        self._server: tuple[str, int] | None = None
        self._handler = _Handler()
        self._kazoo = self._make()

    # the connection

    @property
    def session(self) -> int | None:
        """The session that is connected now; None while none is, though it may live on at the servers."""
        return self._session if self._connected.is_set() else None

    def start(self) -> None:
        """Begin to connect, in the running loop, and never stop trying."""
        self._loop = asyncio.get_running_loop()
        self._kazoo.start_async()

    async def stop(self) -> None:
        """End the session: what hangs on it is gone at once. It may fail, and then ends by its timeout."""
        self._connected.clear()
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.to_thread(self._stop)
        except TimeoutError:
            log.warning("the session with ZooKeeper could not be ended in %g s; it runs out", STOP_S)

    def hang_up(self) -> None:
        """Give up the connection, but not the session: it may hold a server that answers nothing."""
        self._connected.clear()
        self._handler.given_up = self._server
        connection = getattr(self._kazoo._connection, "_socket", None)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    async def greet(self) -> None:
        """One request alone. A server that turns us away answers the first it has read, and hangs up: of
        what else was on its way nobody hears more than that."""
        self._must_be_connected()
        await self._all([self._ask(self._kazoo.exists_async, "/")])

    # reading

    async def read(
        self,
        paths: Sequence[str],
        lists: Sequence[str] = (),
        *,
        on_change: Callable[[], None] | None = None,
    ) -> Found:
        """The znodes at `paths` and the names below `lists`, as the whole ensemble has agreed by now; what is
        not there is left out. When any of it changes that is told once, to the client's `on_change` or to
        this one: the same one again where it waits on."""
        self._must_be_connected()
        told = _Told(on_change or self._on_change, self._in_loop)
        asked = [self._ask(self._kazoo.sync_async, (*paths, *lists)[0])]
        asked += [self._ask(self._kazoo.get_async, path, watch=told) for path in paths]
        asked += [self._ask(self._kazoo.get_children_async, path, watch=told) for path in lists]
        _, *answers = await self._all(asked)
        znodes = {path: znode(*a) for path, a in zip(paths, answers, strict=False) if a is not None}
        names = answers[len(paths) :]
        return Found(
            znodes, {path: tuple(sorted(n)) for path, n in zip(lists, names, strict=True) if n is not None}
        )

    async def read_each(self, paths: Sequence[str]) -> dict[str, Znode]:
        """The znodes at `paths` that we may read."""
        self._must_be_connected()
        asked = [self._ask(self._kazoo.get_async, path) for path in paths]
        answers = await self._all(asked, passed_over=NoRight)
        return {path: znode(*a) for path, a in zip(paths, answers, strict=True) if a is not None}

    # writing

    async def commit(self, *steps: Step) -> str:
        """All of them, or nothing: '' when done, else what did not hold. `Unanswered` when nobody knows."""
        self._must_be_connected()
        transaction = self._kazoo.transaction()
        for step in steps:
            if not isinstance(step, Create) and step.version is not None and step.version < 0:
                return f"{step.path}: it never had the version {step.version}"
            self._add(transaction, step)
        (results,) = await self._all([self._ask(transaction.commit_async)])
        for step, result in zip(steps, results, strict=True):
            if isinstance(result, exceptions.NoAuthError):
                raise NoRight(_NO_RIGHT.format(step.path))
            if isinstance(result, Exception) and not isinstance(result, _FOLLOWS_FROM_ANOTHER):
                return f"{step.path}: {_told(result)}"
        return ""

    # who may do what

    async def acls(self, paths: Sequence[str]) -> dict[str, Acl]:
        """Of the znodes that are there, and whose ACL we may read."""
        self._must_be_connected()
        asked = [self._ask(self._kazoo.get_acls_async, path) for path in paths]
        answers = await self._all(asked, passed_over=NoRight)
        return {
            path: understood(answer[0])
            for path, answer in zip(paths, answers, strict=True)
            if answer is not None
        }

    async def set_acl(self, path: str, acl: Acl) -> None:
        """Nothing happens where no znode is."""
        self._must_be_connected()
        await self._all([self._ask(self._kazoo.set_acls_async, path, sent(acl))])

    def _add(self, transaction: TransactionRequest, step: Step) -> None:
        if isinstance(step, Create):
            transaction.create(step.path, step.content, acl=sent(step.acl), ephemeral=step.ephemeral)
        elif isinstance(step, Write):
            transaction.set_data(step.path, step.content, -1 if step.version is None else step.version)
        elif isinstance(step, Delete):
            transaction.delete(step.path, -1 if step.version is None else step.version)
        else:
            transaction.check(step.path, step.version)

    # between the threads

    def _make(self) -> KazooClient:
        tls = self._servers.tls
        options: dict[str, Any] = {}
        if tls is not None:
            options = {
                "use_ssl": True, "ca": str(tls.ca_file), "certfile": str(tls.cert_file),
                "keyfile": str(tls.key_file), "verify_certs": True, "check_hostname": True,
            }  # fmt: skip
        if (login := self._servers.login) is not None:
            options["sasl_options"] = {
                "mechanism": "DIGEST-MD5", "username": login.user, "password": login.password,
            }  # fmt: skip
        hosts = ",".join(self._servers.addresses)
        try:
            made = KazooClient(
                hosts=hosts,
                timeout=self._servers.session_s,
                handler=self._handler,
                connection_retry={"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 2.0},
                command_retry={"max_tries": 0, "ignore_expire": False},
                randomize_hosts=True,
                **options,
            )
        except ValueError as error:
            raise StoreError(f"{hosts} are not ZooKeeper servers: {error}") from error
        made.add_listener(self._turned)
        self._learn_what_is_granted(made)
        return made

    def _learn_what_is_granted(self, made: KazooClient) -> None:
        connect = made._connection._connect

        def connect_and_learn(host: str, address: str, port: int) -> tuple[float, float]:
            made.last_zxid = 0
            try:
                read_ms, connect_ms = connect(host, address, port)
            except (exceptions.AuthFailedError, exceptions.SessionClosedRequireSaslError) as error:
                self._was_refused(f"{address}:{port}")
                raise exceptions.ConnectionDropped("we were refused") from error
            self.trouble = ""
            self._server = address, port
            self.session_s = read_ms * 1.5 / 1000
            self._session, _password = made.client_id
            self._connected.set()
            self._in_loop(self._on_change)
            return read_ms, connect_ms

        made._connection._connect = connect_and_learn

    def _was_refused(self, server: str) -> None:
        """Its thread would end here, and never connect again, though a password is soon put right."""
        login = self._servers.login
        why = f"refuses our user {login.user!r} or its password" if login is not None else _WANTS_PASSWORD
        self.refusal = f"{server} {why}"
        self._in_loop(self._on_change)

    def _turned(self, state: str) -> None:
        """In a thread of kazoo's, and at once: who is not connected must not act a moment longer."""
        log.info("the connection to ZooKeeper is %s", state)
        if state != KazooState.CONNECTED:
            self._connected.clear()
            self._in_loop(self._on_change)

    def _in_loop(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call)

    def _must_be_connected(self) -> None:
        if not self._connected.is_set():
            where = self.refusal or self.trouble or ", ".join(self._servers.addresses)
            raise Unanswered(f"there is no connection to ZooKeeper: {where}")

    def _ask(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(result: Any) -> None:
            if answer.done():
                return
            if result.exception is None:
                answer.set_result(result.value)
            elif isinstance(result.exception, exceptions.NoNodeError):
                answer.set_result(None)
            elif isinstance(result.exception, exceptions.NoAuthError) and arguments:
                answer.set_exception(NoRight(_NO_RIGHT.format(arguments[0])))
            else:
                answer.set_exception(result.exception)

        call(*arguments, **options).rawlink(lambda result: self._in_loop(lambda: settle(result)))
        return answer

    async def _all(
        self, asked: Sequence["asyncio.Future[Any]"], passed_over: type[StoreError] | tuple[()] = ()
    ) -> list[Any]:
        """None for what is not there, or is `passed_over`."""
        try:
            async with asyncio.timeout(self._servers.call_s):
                answers = await asyncio.gather(*asked, return_exceptions=True)
        except TimeoutError:
            raise Unanswered(f"ZooKeeper did not answer within {self._servers.call_s:g} s") from None
        answers = [None if isinstance(answer, passed_over) else answer for answer in answers]
        wrong = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in sorted(wrong, key=lambda each: isinstance(each, exceptions.ConnectionLoss)):
            if isinstance(error, StoreError):
                raise error
            if isinstance(error, exceptions.SessionClosedRequireSaslError):
                self._was_refused(":".join(map(str, self._server or ())))
                raise Unanswered(f"there is no connection to ZooKeeper: {self.refusal}") from error
            if isinstance(error, exceptions.ConnectionLoss) and self.refusal:
                raise Unanswered(f"there is no connection to ZooKeeper: {self.refusal}") from error
            raise Unanswered(f"ZooKeeper: {_told(error)}") from error
        self.refusal = ""
        return answers

    def _stop(self) -> None:
        try:
            self._kazoo.stop()
            self._kazoo.close()
        except Exception as error:  # of no type of its own
            log.warning("the connection to ZooKeeper could not be closed: %s", error)


_NO_RIGHT = (
    "ZooKeeper gives us no right to {}: its ACL names others; if the configuration has changed, type on a "
    "daemon's host that may lead: mailward zookeeper grant"
)


_WANTS_PASSWORD = "wants a password: write coordination.zookeeper.login"


_FOLLOWS_FROM_ANOTHER = (exceptions.RolledBackError, exceptions.RuntimeInconsistency)
"""Of the steps of a transaction that would have held."""


def _told(error: BaseException) -> str:
    words: dict[type, str] = {
        exceptions.NodeExistsError: "it is there already",
        exceptions.NoNodeError: "it is not there",
        exceptions.BadVersionError: "it has changed since it was read",
        exceptions.ConnectionLoss: "the connection was lost",
        exceptions.SessionExpiredError: "the session has expired",
        exceptions.ConnectionClosedError: "the connection is closed",
    }
    return words.get(type(error), type(error).__name__)
