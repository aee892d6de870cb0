"""Small files that survive kill -9 at any moment: written aside, synced, renamed, directory synced."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailward.model.errors import StoreBusy, StoreError

LIMIT = 1024 * 1024
"""Bytes of one file; a ZooKeeper node's default limit, so that a store can be moved there."""


class NotWritten(StoreError):
    """Nothing was changed, for certain; any other failure of a write leaves that open."""


def write(path: Path, content: bytes) -> None:
    """Replace `path` as one step; NotWritten while the old content certainly stands, else StoreError."""
    if len(content) > LIMIT:
        raise NotWritten(f"{path} would be {len(content)} bytes, more than the {LIMIT} allowed")
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror}") from error
    try:
        aside.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> bytes | None:
    """The content, or None where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > LIMIT:
        raise StoreError(f"{path} is larger than {LIMIT} bytes; it is not ours")
    return content


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}") from error


@contextmanager
def locked(path: Path, wait_s: float, busy: str) -> Iterator[None]:
    """Hold an exclusive lock on `path`; StoreBusy with the text `busy` when it is not to be had."""
    handle = take_lock(path, wait_s, busy)
    try:
        yield
    finally:
        os.close(handle)


def take_lock(path: Path, wait_s: float, busy: str) -> int:
    """Like `locked`, for as long as the returned descriptor is open (a killed process lets go)."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from error
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                raise StoreBusy(busy) from None
            time.sleep(0.02)
        except OSError as error:
            os.close(handle)
            raise StoreError(f"cannot lock {path}: {error.strerror}") from error
        else:
            return handle
