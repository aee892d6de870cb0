"""`failover`, `drain`, `readmit`, `switchover` and `vouch`: leave a request and tell what became of it; and
`cancel`, which withdraws one."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import typer
from pydantic import TypeAdapter

from mailward.app import client, render, terminal
from mailward.app.exits import Exit
from mailward.app.status import Progress, RequestStatus

TAKEN_UP_WITHIN_S = 5.0
TAKEN_UP_PATIENTLY_S = 90.0
"""With `--wait`: a leader that hangs is replaced when its session ends, and a request may wait a minute."""
POLL_S = 0.3
POLL_PATIENTLY_S = 5.0
"""Until the time of a request for later; that a daemon is started again meanwhile is no reason to give up."""
MAY_BE = (
    "The request {}may have been taken up all the same; if it was recorded, it is carried out when mailward "
    "runs again. Look at `mailward status` then, before you ask once more."
)

_PROGRESS: TypeAdapter[RequestStatus] = TypeAdapter(RequestStatus)

_EXITS = {
    Progress.WAITING: Exit.UNFINISHED,
    Progress.SCHEDULED: Exit.UNFINISHED,
    Progress.REFUSED: Exit.FAILED,
    Progress.RUNNING: Exit.UNFINISHED,
    Progress.ACCEPTED: Exit.DONE,
    Progress.DONE: Exit.DONE,
    Progress.ROLLED_BACK: Exit.FAILED,
    Progress.HANDED_OVER: Exit.FAILED,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as typed. `wait_s` None: do not wait for the end; else so long at most, from `at_unix_s` on
    where it is for later."""

    kind: str
    node: str
    reason: str = ""
    force: bool = False
    dry_run: bool = False
    wait_s: float | None = None
    as_json: bool = False
    operation: str = ""
    at_unix_s: float | None = None


def ask(socket: Path, asked: Asked) -> Exit:
    body = {
        "kind": asked.kind,
        "node": asked.node,
        "reason": asked.reason,
        "force": asked.force,
        "dry_run": asked.dry_run,
        "operation": asked.operation,
        "at_unix_s": asked.at_unix_s,
    }
    try:
        left = _PROGRESS.validate_json(client.call(socket, "POST", "/v1/requests", body))
    except client.BrokenOff as error:
        if asked.dry_run:
            raise
        raise client.BrokenOff(f"{error}\n{MAY_BE.format('')}") from error
    if asked.dry_run:
        _tell(left, asked)
        return _dry(left)
    try:
        return _follow(socket, left, asked)
    except client.Unreachable as error:
        raise client.Unreachable(f"{error}\n{MAY_BE.format(f'{left.id} ')}") from error


def cancel(socket: Path, request: str, *, as_json: bool) -> Exit:
    """Withdraw a request that still waits."""
    left = _PROGRESS.validate_json(client.call(socket, "DELETE", f"/v1/requests/{quote(request, safe='')}"))
    return _follow(socket, left, Asked("cancel", "", as_json=as_json))


def _dry(would: RequestStatus) -> Exit:
    if would.progress is Progress.REFUSED:
        return Exit.FAILED
    if would.progress is Progress.SCHEDULED:
        return Exit.HELD if would.detail else Exit.DONE
    return Exit.HELD if would.progress is Progress.WAITING else Exit.DONE


def _follow(socket: Path, left: RequestStatus, asked: Asked) -> Exit:
    """Until it is taken up or refused; with `--wait` until it is over."""
    patience_s = TAKEN_UP_WITHIN_S if asked.wait_s is None else min(asked.wait_s, TAKEN_UP_PATIENTLY_S)
    now = _until(socket, left, patience_s, lambda seen: seen.progress is not Progress.WAITING)
    if now.progress is Progress.SCHEDULED:
        if asked.wait_s is None:
            _tell(now, asked)
            return Exit.DONE
        now = _until_due(socket, now, asked, asked.wait_s)
    if asked.wait_s is None or now.progress is not Progress.RUNNING:
        _tell(now, asked)
        started = asked.wait_s is None and now.progress is Progress.RUNNING
        return Exit.DONE if started else _EXITS[now.progress]
    step = ""

    def over(seen: RequestStatus) -> bool:
        nonlocal step
        if seen.progress is not Progress.RUNNING:
            return True
        if not asked.as_json and seen.operation and seen.operation.step != step:
            step = seen.operation.step
            typer.echo(f"step {step}")
        return False

    now = _until(socket, now, asked.wait_s, over)
    _tell(now, asked)
    return _EXITS[now.progress]


def _until_due(socket: Path, seen: RequestStatus, asked: Asked, wait_s: float) -> RequestStatus:
    """Until its time, and then until it is taken up or refused."""
    if not asked.as_json:
        _tell(seen, asked)
    waits = (Progress.SCHEDULED, Progress.WAITING)
    end_unix_s = (seen.due_unix_s or 0.0) + wait_s
    while seen.progress in waits and time.time() < end_unix_s:
        left_s = (seen.due_unix_s or 0.0) - time.time()
        time.sleep(POLL_PATIENTLY_S if left_s > 2 * POLL_PATIENTLY_S else POLL_S)
        with contextlib.suppress(client.Unreachable):
            seen = _PROGRESS.validate_json(client.call(socket, "GET", f"/v1/requests/{seen.id}"))
    return seen


def _until(
    socket: Path, seen: RequestStatus, limit_s: float, enough: Callable[[RequestStatus], bool]
) -> RequestStatus:
    end = time.monotonic() + limit_s
    while not enough(seen) and time.monotonic() < end:
        time.sleep(POLL_S)
        seen = _PROGRESS.validate_json(client.call(socket, "GET", f"/v1/requests/{seen.id}"))
    return seen


def _tell(now: RequestStatus, asked: Asked) -> None:
    if asked.as_json:
        typer.echo(_PROGRESS.dump_json(now).decode())
        return
    terminal.show(render.request(now, terminal.width(), None, time.time()))
    if now.progress is Progress.SCHEDULED and not asked.dry_run:
        typer.echo(f"Withdraw it with: mailward cancel {now.id}")
    if asked.node and now.progress is Progress.REFUSED and "mailward " not in now.detail:
        typer.echo(f"Next: mailward explain {asked.node}")
    elif now.progress in (Progress.WAITING, Progress.RUNNING) and not asked.dry_run:
        typer.echo("Next: mailward status")
