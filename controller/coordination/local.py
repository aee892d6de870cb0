"""`local`: one controller and a directory with a lock. The embedded default.

    store.json   the store-id, written once by `init`
    epoch.json   raised by each start of a controller
    state.json   the state document with its version
    pause.json   the pause with its version; written by anybody, also while the controller hangs
    requests/    one file for each request not yet answered
    lock         held by the one running controller
    write.lock   held while epoch, state and pause are compared and one of them is written

A commit is one rename under `write.lock`. There is no lease: nobody else can take over, so the right to
act never ends by itself. On a mail node a controller with this store only observes, since cut off it
would withdraw the others.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mailward.controller.codec import PAUSE, REQUEST, STATE, to_bytes
from mailward.controller.coordination import files
from mailward.controller.coordination.first_state import first_state, is_store_id
from mailward.model.errors import CorruptStore, ForeignStore, StoreError
from mailward.model.ports import Commit, Recorded
from mailward.model.report import Report
from mailward.model.snapshot import Leader, ObserverView, Standing, Versions
from mailward.model.state import Pause, Request, State
from mailward.model.token import Token

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
LOCK_WAIT_S = 2.0
MAX_REQUESTS = 100
_BUSY = "the store is being written by another process that does not finish: {}"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Versioned:
    version: int
    content: Any


def init(directory: Path, remembered: Sequence[Token] = (), adopt: str | None = None) -> State:
    """Make a new store in `directory`, above every token that targets or helpers remember.

    `adopt` as in `making.first_state`. Returns the first state. StoreError where there is a store already.
    """
    state = first_state(remembered, adopt)
    make(directory, state)
    return state


def make(directory: Path, state: State, pause: Pause | None = None) -> None:
    """A new store with this first state, paused or not. StoreError where there is one already."""
    if (directory / "store.json").exists():
        raise StoreError(f"{directory} already holds a store; move it away first if it is really over")
    try:
        (directory / "requests").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}") from error
    _write_json(directory / "epoch.json", {"epoch": state.epoch})
    files.write(directory / "state.json", _state_bytes(_Versioned(1, state)))
    paused = PAUSE.plain(pause) if pause is not None else None
    _write_json(directory / "pause.json", {"version": 1, "pause": paused})
    _write_json(directory / "store.json", {"store_id": state.store_id})


def store_id_of(directory: Path) -> str | None:
    """The id of the store in `directory`, None where there is no store."""
    content = _read_json(directory / "store.json")
    if content is None:
        return None
    store_id = content.get("store_id")
    if not isinstance(store_id, str) or not is_store_id(store_id):
        raise CorruptStore(f"{directory / 'store.json'} holds no store-id")
    return store_id


def post_offline(directory: Path, entry: Request | Pause | None) -> None:
    """What `LocalStore.post` does, without a running controller; works while it hangs."""
    with _saying_what_to_type(directory):
        _post_offline(directory, entry)


def _post_offline(directory: Path, entry: Request | Pause | None) -> None:
    _must_exist(directory)
    with files.locked(directory / "write.lock", LOCK_WAIT_S, _BUSY.format(directory)):
        if isinstance(entry, Request):
            _write_request(directory, entry)
            return
        before = _read_pause(directory)
        plain = PAUSE.plain(entry) if entry else None
        _write_json(directory / "pause.json", {"version": before.version + 1, "pause": plain})


def _write_request(directory: Path, request: Request) -> None:
    waiting = list((directory / "requests").glob("*.json"))
    if len(waiting) >= MAX_REQUESTS:
        raise StoreError(f"{len(waiting)} requests already wait in {directory}; is a controller running?")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", request.id):
        raise StoreError(f"a request's id is letters, digits and dashes, not {request.id!r}")
    files.write(directory / "requests" / f"{request.id}.json", REQUEST.dump(request))


class LocalStore:
    """The store as one running controller uses it; all file work in one thread, with deadlines."""

    def __init__(self, directory: Path, *, observe_only: bool = False) -> None:
        self.nonce = secrets.token_hex(8)
        self.rival = False  # its lock lets nobody else in
        self.in_touch = True  # it is a directory of this host
        self.letters = None  # there is nobody to write to
        self._directory = directory
        self._observe_only = observe_only
        self._lock: int | None = None
        self._epoch = 0
        self._willing = True
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-store")
        self._read_cache: tuple[tuple[int, int, int], _Versioned] | None = None

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        """There is nobody to leave it to: who is not willing keeps the lock and does nothing. The lock ends
        with its process, so there is nobody gone to stand `over` either."""
        self._willing = willing
        standing = await self._call(self._lead)
        return standing if willing or standing is Standing.OBSERVING_ONLY else Standing.FOLLOWING

    async def read(self) -> Recorded:
        return await self._call(self._read)

    async def recorded(self) -> State:
        return (await self.read()).state

    async def record(self, state: State, seen: Versions) -> Commit:
        content = _state_bytes(_Versioned(seen.state + 1, state))
        answered = [answer.request for answer in state.answers]
        try:
            return await self._call(lambda: self._record(content, seen, answered))
        except files.NotWritten:
            raise
        except StoreError as error:
            log.error("the new state may not have been written: %s", error)
            return Commit.UNKNOWN

    def may_act_until_s(self) -> float:
        leads = self._lock is not None and not self._observe_only and self._willing
        return float("inf") if leads else float("-inf")

    async def post(self, entry: Request | Pause | None) -> None:
        await self._call(lambda: _post_offline(self._directory, entry))

    async def run(self) -> None:
        """Nobody else is to be kept in touch with."""
        await asyncio.Event().wait()

    async def leave(self) -> None:
        self.close()

    async def publish(self, _report: Report) -> None:
        """Nobody else reads it."""

    def views(self) -> Sequence[ObserverView]:
        """Nobody else reports."""
        return ()

    def close(self) -> None:
        """Let go of the lock; the next controller may start at once."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _call(self, work: Callable[[], T]) -> T:
        def told() -> T:
            with _saying_what_to_type(self._directory):
                return work()

        future = asyncio.get_running_loop().run_in_executor(self._thread, told)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):  # wait_for of Python 3.11 can swallow a cancellation
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise StoreError(f"{self._directory} did not answer within {CALL_TIMEOUT_S:g} s") from None

    def _lead(self) -> Standing:
        _must_exist(self._directory)
        if self._lock is None:
            busy = f"another controller runs on {self._directory}; there can be only one"
            lock = files.take_lock(self._directory / "lock", 0.0, busy)
            try:
                self._epoch = self._next_epoch()
            except BaseException:
                os.close(lock)
                raise
            self._lock = lock
        return Standing.OBSERVING_ONLY if self._observe_only else Standing.LEADING

    def _next_epoch(self) -> int:
        with files.locked(self._directory / "write.lock", LOCK_WAIT_S, _BUSY.format(self._directory)):
            for folder in (self._directory, self._directory / "requests"):
                for leftover in folder.glob(".*.new"):
                    files.remove(leftover)
            epoch: int = 1 + max(_read_epoch(self._directory), _read_state(self._directory).content.epoch)
            _write_json(self._directory / "epoch.json", {"epoch": epoch})
            return epoch

    def _must_be_the_same(self) -> None:
        """Whoever puts another store in the place of one that is in use leaves us with a lock on nothing, and
        with an epoch that the new one does not know."""
        if self._lock is None:
            return
        try:
            same = os.path.samestat(os.fstat(self._lock), (self._directory / "lock").stat())
        except OSError:
            same = False
        if not same:
            raise files.NotWritten(
                f"{self._directory} is not the store any more that this daemon began with: somebody moved it "
                "away, or removed its lock. Start mailward again: systemctl restart mailward"
            )

    def _read(self) -> Recorded:
        store_id = _must_exist(self._directory)
        self._must_be_the_same()
        state, pause = self._read_state_cached(), _read_pause(self._directory)
        if state.content.store_id != store_id:
            raise ForeignStore(
                f"{self._directory}: state.json is of store {state.content.store_id}, not ours"
            )
        versions = Versions(self._epoch, state.version, pause.version)
        answered = {answer.request for answer in state.content.answers}
        requests = tuple(r for r in _read_requests(self._directory) if r.id not in answered)
        return Recorded(state.content, versions, pause.content, requests)

    def _read_state_cached(self) -> _Versioned:
        path = self._directory / "state.json"
        try:
            info = path.stat()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        mark = (info.st_ino, info.st_mtime_ns, info.st_size)
        if self._read_cache is None or self._read_cache[0] != mark:
            self._read_cache = (mark, _read_state(self._directory))
        return self._read_cache[1]

    def _record(self, content: bytes, seen: Versions, answered: Sequence[str]) -> Commit:
        with files.locked(self._directory / "write.lock", LOCK_WAIT_S, _BUSY.format(self._directory)):
            self._must_be_the_same()
            now = Versions(
                _read_epoch(self._directory),
                _read_state(self._directory).version,
                _read_pause(self._directory).version,
            )
            if now != seen or self._lock is None:
                return Commit.LOST
            files.write(self._directory / "state.json", content)
            self._read_cache = None
        for request in answered:
            files.remove(self._directory / "requests" / f"{request}.json")
        return Commit.COMMITTED


def _must_exist(directory: Path) -> str:
    found = store_id_of(directory)
    if found is None and (directory / "state.json").exists():
        raise CorruptStore(f"{directory / 'store.json'} is missing; nothing is done without it")
    if found is None:
        raise StoreError(f"there is no store in {directory}; make one with: mailward state init")
    return found


@contextlib.contextmanager
def _saying_what_to_type(directory: Path) -> Iterator[None]:
    """Who finds the store corrupt is told how to make it anew."""
    try:
        yield
    except CorruptStore as error:
        known = _id_left_in(directory)
        how = f" --adopt {known}" if known else ", which says what to adopt"
        raise CorruptStore(
            f"{error}. Stop mailward, move the directory {directory} away, then: mailward state init{how}"
        ) from error


def _id_left_in(directory: Path) -> str:
    """The store-id that can still be read; ''."""
    for name in ("store.json", "state.json"):
        with contextlib.suppress(StoreError):
            content = _read_json(directory / name) or {}
            inner = content.get("state")
            found = (inner if isinstance(inner, dict) else content).get("store_id")
            if isinstance(found, str) and is_store_id(found):
                return found
    return ""


def _read_epoch(directory: Path) -> int:
    content = _read_json(directory / "epoch.json") or {}
    epoch = content.get("epoch")
    if not isinstance(epoch, int) or epoch < 0:
        raise CorruptStore(f"{directory / 'epoch.json'} holds no epoch")
    return epoch


def _state_bytes(document: _Versioned) -> bytes:
    return to_bytes({"version": document.version, "state": STATE.plain(document.content)})


def _read_state(directory: Path) -> _Versioned:
    path = directory / "state.json"
    content = _read_json(path)
    if content is None or not isinstance(content.get("version"), int):
        raise CorruptStore(f"{path} is missing or holds no version; nothing is done without it")
    return _Versioned(content["version"], STATE.load(json.dumps(content.get("state")).encode(), str(path)))


def _read_pause(directory: Path) -> _Versioned:
    path = directory / "pause.json"
    content = _read_json(path)
    if content is None or not isinstance(content.get("version"), int):
        raise CorruptStore(f"{path} is missing or holds no version; nothing is done without it")
    pause = content.get("pause")
    loaded = PAUSE.load(json.dumps(pause).encode(), str(path)) if pause is not None else None
    return _Versioned(content["version"], loaded)


def _read_requests(directory: Path) -> tuple[Request, ...]:
    """One that cannot be understood is set aside: it must not keep automation from its work."""
    found = []
    for path in sorted((directory / "requests").glob("*.json"))[:MAX_REQUESTS]:
        try:
            raw = files.read(path)
            if raw is None:
                continue
            request = REQUEST.load(raw, str(path))
            if path.name != f"{request.id}.json":
                raise StoreError(f"{path} holds the request {request.id!r}")
            found.append(request)
        except StoreError as error:
            log.warning("a request is set aside: %s", error)
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".unreadable"))
    return tuple(found)


def _read_json(path: Path) -> dict[str, Any] | None:
    raw = files.read(path)
    if raw is None:
        return None
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorruptStore(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CorruptStore(f"{path} is not a JSON object")
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    files.write(path, to_bytes(content))
