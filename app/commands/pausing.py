"""`pause` and `resume`: through the daemon, and past it when it does not answer.

Whoever is frightened must be able to stop automation while the daemon hangs. The pause is then written
into the store directly; a daemon that still runs reads it before its next decision.
"""

import asyncio
import getpass
import json
import os
import re
import socket as sockets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mailward.app import client
from mailward.app.exits import Exit
from mailward.app.settings import ZooKeeperAt
from mailward.app.wording import clock_time, duration, printable
from mailward.model.errors import MailwardError, StoreError
from mailward.model.state import Pause

LONGEST_S = 7 * 86400.0
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(s|m|min|h|d)")


def seconds(text: str, longest_s: float = LONGEST_S) -> float:
    """'90s', '30m', '2h', '1d' in seconds; ValueError says what would be right."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number with a unit, as 30m, 2h or 1d")
    value = float(match[1]) * _UNITS[match[2]]
    if not 0 < value <= longest_s:
        raise ValueError(f"{text!r} is not between 1s and {longest_s / 86400:g}d")
    return value


def pause(socket: Path, store: Path | ZooKeeperAt, for_s: float, reason: str, *, as_json: bool) -> Exit:
    body = {"for_s": for_s, "reason": reason}
    past = _past_the_daemon(lambda: client.call(socket, "POST", "/v1/pause", body), store, for_s, reason)
    until = f"for {duration(for_s)}"
    if isinstance(past, bytes):
        answer = json.loads(past)
        until = f"until {clock_time(answer['until_unix_s'], None, answer['until_unix_s'] - for_s)}"
        if as_json:
            typer.echo(past.decode(), nl=False)
            return Exit.DONE
    elif as_json:
        typer.echo(json.dumps({"mode": "PAUSED", "by": _me(), "reason": reason, "offline": past}))
        return Exit.DONE
    typer.echo(f"Paused {until}. Nothing new is started; a running operation goes on to its end.")
    typer.echo("Lift it with: mailward resume")
    return Exit.DONE


def resume(socket: Path, store: Path | ZooKeeperAt, *, as_json: bool) -> Exit:
    past = _past_the_daemon(lambda: client.call(socket, "DELETE", "/v1/pause"), store, None, "")
    if as_json:
        offline = past if isinstance(past, str) else ""
        typer.echo(json.dumps({"resumed": True, "by": _me(), "offline": offline}))
    else:
        typer.echo("Resumed: automation does again what its configuration says.")
    return Exit.DONE


def _past_the_daemon(
    ask: Callable[[], bytes], store: Path | ZooKeeperAt, for_s: float | None, reason: str
) -> bytes | str:
    """The daemon's answer; or why it was done without it."""
    try:
        return ask()
    except client.Rejected as error:
        if error.status < 500:
            raise
        why = str(error)
    except client.Unreachable as error:
        why = str(error)
    try:
        _write(store, for_s, reason)
    except (MailwardError, OSError) as error:
        raise client.Unreachable(f"{why}\nThe store cannot be written either: {error}") from error
    typer.echo(f"mailward: {why}", err=True)
    typer.echo(f"It was written to the store {store} instead; a daemon that runs reads it there.", err=True)
    return why


def _write(store: Path | ZooKeeperAt, for_s: float | None, reason: str) -> None:
    from mailward.controller.clock import SystemClock
    from mailward.controller.coordination.local import post_offline

    now = SystemClock().now()
    entry = None if for_s is None else Pause(_me(), printable(reason), now, now.wall_s + for_s)
    if isinstance(store, ZooKeeperAt):
        asyncio.run(_write_in_zookeeper(store, entry))
        return
    with _as_owner_of(store):
        post_offline(store, entry)


async def _write_in_zookeeper(store: ZooKeeperAt, entry: Pause | None) -> None:
    from mailward.controller.coordination.tls import Tls
    from mailward.controller.coordination.zookeeper import tree
    from mailward.controller.coordination.zookeeper.connecting import connected
    from mailward.controller.coordination.zookeeper.values import Login, Servers, Write

    tls = Tls(*store.tls) if store.tls else None
    login = Login(store.user, store.password) if store.user else None
    async with connected(Servers(store.servers, tls=tls, login=login)) as client:
        wrong = await client.commit(Write(tree.Tree(store.cluster).pause, tree.of_pause(entry)))
    if wrong:
        raise StoreError(f"ZooKeeper did not take it: {wrong}")


@contextmanager
def _as_owner_of(store: Path) -> Iterator[None]:
    """As root, write as the daemon's user: a file of root's could be one the daemon cannot read."""
    owner = store.stat()
    if os.geteuid() != 0:
        yield
        return
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _me() -> str:
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return printable(f"{user}@{sockets.gethostname()}", 100)
