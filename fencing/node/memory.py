"""What the helper remembers: the store it belongs to, the highest token obeyed, the map it gave.

Kept in two places: on disk, so that it survives a reboot, and in /run, so that a full or failing disk
does not make the helper forget that it closed. Of the two the higher one counts. Each write is whole
(a new file, synced, then renamed over the old); a checksum tells a damaged file from a short one.

The record is the intention. What the kernel really does is asked of the firewall, never of this file.
Not here: rolling back a whole machine to an older image, after which an old token is all it knows.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import Any, NamedTuple, Union

from mailward.fencing.node import strictjson
from mailward.fencing.node.token import STORE_ID, Token, parse_token

FORMAT = 1
OPEN = "open"
CLOSED = "closed"
_SIZE_LIMIT = 256 * 1024

PortState = Union[str, dict[str, str]]  # noqa: UP007 - Python 3.9 evaluates it
"""As on the wire: "open", "closed", or {"detoured": "ADDRESS"}."""

PortMap = dict[str, PortState]


class Record(NamedTuple):
    """`revision` rises with every write. `ports` is None until a first order; `forced` says that root
    gave the present map by hand, and why. `store` is pinned by the first token, or by `adopt`. `lease_s`
    is how long open ports stay so without a renewal, None for as long as nothing else is ordered; `stop`
    says that the writers are to be stopped."""

    revision: int = 0
    store: str | None = None
    token: Token | None = None
    ports: PortMap | None = None
    forced: str | None = None
    lease_s: float | None = None
    stop: bool = False


class Known(NamedTuple):
    """The record that counts, and what is wrong with the places ('' if nothing is)."""

    record: Record
    damage: str


class Memory:
    def __init__(self, state_dir: str, run_dir: str) -> None:
        self.disk = os.path.join(state_dir, "state.json")
        self.run = os.path.join(run_dir, "state.json")

    def read(self) -> Known:
        """The higher of the two places. A place that was never written is no damage."""
        found: list[Record] = []
        damage: list[str] = []
        for path in (self.disk, self.run):
            try:
                with open(path, "rb") as file:
                    found.append(decode(file.read(_SIZE_LIMIT)))
            except FileNotFoundError:
                continue
            except OSError as error:
                damage.append(f"{path} cannot be read: {error.strerror}")
            except ValueError as error:
                damage.append(f"{path} is damaged: {error}")
        return Known(max(found, key=height, default=Record()), "; ".join(damage))

    def keep_on_disk(self, record: Record) -> str:
        """'' when it will survive a reboot, else why it will not."""
        return _write(self.disk, record)

    def is_of_another_boot(self) -> bool:
        """Whether nothing was written since this boot: /run is empty then."""
        return not os.path.exists(self.run)

    def keep_in_run(self, record: Record) -> str:
        """'' when it will survive this process, else why it will not."""
        return _write(self.run, record)

    def replace(self, record: Record) -> str:
        """Make `record` the only one, though its token may be lower; '' or why that failed."""
        problem = _write(self.disk, record)
        if problem:
            return problem
        problem = _write(self.run, record)
        if problem:
            try:
                os.unlink(self.run)
            except FileNotFoundError:
                return ""
            except OSError:
                return problem
        return ""


def height(record: Record) -> tuple[int, int, int]:
    """Of two records of one store the higher one is the later."""
    token = record.token
    return (token.epoch, token.seq, record.revision) if token else (-1, -1, record.revision)


def encode(record: Record) -> bytes:
    body = strictjson.dumps(
        {
            "format": FORMAT,
            "revision": record.revision,
            "store": record.store,
            "token": str(record.token) if record.token else None,
            "ports": record.ports,
            "forced": record.forced,
            "lease_s": record.lease_s,
            "stop": record.stop,
        }
    ).encode()
    return body + b"\n%08x\n" % zlib.crc32(body)


def decode(data: bytes) -> Record:
    """Read a whole, undamaged record; ValueError otherwise."""
    body, newline, checksum = data.partition(b"\n")
    if not newline or checksum.strip() != b"%08x" % zlib.crc32(body):
        raise ValueError("checksum does not match")
    document = strictjson.loads(body.decode())
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"not in format {FORMAT}: written by another version of the helper?")
    try:
        return _record(document)
    except (KeyError, TypeError) as error:
        raise ValueError(f"missing or misplaced value: {error}") from error


def _record(document: dict[str, Any]) -> Record:
    token = None if document["token"] is None else parse_token(document["token"])
    store, ports, forced = document["store"], document["ports"], document["forced"]
    if store is not None and not STORE_ID.fullmatch(store):
        raise ValueError("not a store id")
    if token is not None and token.store != store:
        raise ValueError("token and store do not agree")
    if ports is not None and not isinstance(ports, dict):
        raise ValueError("no port map")
    lease_s = document.get("lease_s")  # older helpers wrote neither it nor `stop`
    return Record(
        revision=int(document["revision"]),
        store=store,
        token=token,
        ports=ports,
        forced=None if forced is None else str(forced),
        lease_s=None if lease_s is None else float(lease_s),
        stop=document.get("stop") is True,
    )


def _write(path: str, record: Record) -> str:
    """Replace the file as a whole and make it durable; '' or the reason why not."""
    directory = os.path.dirname(path)
    new = f"{path}.new"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with open(new, "wb") as file:
            file.write(encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        _sync_directory(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(new)
        return f"{path}: {error.strerror}"
    return ""


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
