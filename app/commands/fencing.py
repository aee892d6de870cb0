"""`fence`: the ladder of a node, and whether each rung works; nothing is ever fenced from here.

Stopping a node is a part of moving its users elsewhere, behind the gates of that (I8): by itself it only
takes a node away.
"""

import time
from pathlib import Path

import typer
from pydantic import TypeAdapter

from mailward.app import client, ladder_text, terminal
from mailward.app.exits import Exit
from mailward.app.status import FenceStatus, Progress, RequestStatus, Worked

PATIENCE_S = 330.0
"""The slowest agent is given five minutes."""
RECORDED_WITHIN_S, POLL_S = 10.0, 0.3

_FENCE: TypeAdapter[FenceStatus] = TypeAdapter(FenceStatus)
_PROGRESS: TypeAdapter[RequestStatus] = TypeAdapter(RequestStatus)

REFUSED = (
    "a node is not fenced for itself, only when another can take over. {0} is broken: mailward failover {0}. "
    "Work on it is planned: mailward drain {0}, or if it is the one that serves: mailward switchover OTHER. "
    "What would stop it: mailward fence {0} --dry-run"
)


def refused(node: str) -> Exit:
    terminal.complain(REFUSED.format(node))
    return Exit.FAILED


def dry_run(socket: Path, node: str, *, as_json: bool) -> Exit:
    """HELD where no rung works now that stops as much as is demanded."""
    raw = client.call(socket, "POST", "/v1/fence", {"node": node}, PATIENCE_S)
    shown = _FENCE.validate_json(raw)
    if as_json:
        terminal.write(raw.decode())
    else:
        terminal.show(ladder_text.dry_run(shown, terminal.width()))
    works = {each.rung for each in shown.tried if each.worked is Worked.WORKS}
    enough = any(rung.rung in works and not rung.lacks for rung in shown.rungs)
    return Exit.DONE if enough else Exit.HELD


def test(socket: Path, node: str, *, as_json: bool) -> Exit:
    """Try every rung, and see to it that what works is recorded."""
    raw = client.call(socket, "POST", "/v1/fence", {"node": node, "test": True}, PATIENCE_S)
    shown = _FENCE.validate_json(raw)
    if as_json:
        terminal.write(raw.decode())
    else:
        terminal.show(ladder_text.table(shown, terminal.width()))
    recorded, told = _recorded(socket, shown)
    if not as_json:
        typer.echo(told)
    if any(each.worked is Worked.FAILS for each in shown.tried):
        return Exit.FAILED
    return recorded


def _recorded(socket: Path, shown: FenceStatus) -> tuple[Exit, str]:
    if shown.unrecorded:
        return Exit.UNFINISHED, f"NOT RECORDED: {shown.unrecorded}"
    if not shown.request:
        return Exit.DONE, "Nothing to record."
    end = time.monotonic() + RECORDED_WITHIN_S
    while True:
        now = _PROGRESS.validate_json(client.call(socket, "GET", f"/v1/requests/{shown.request}"))
        if now.progress is not Progress.WAITING or time.monotonic() >= end:
            break
        time.sleep(POLL_S)
    if now.progress is Progress.DONE:
        return Exit.DONE, f"Recorded: what works was proven from {shown.observer}."
    if now.progress is Progress.REFUSED:
        return Exit.FAILED, f"NOT RECORDED: {now.detail}"
    return Exit.UNFINISHED, "Not recorded yet: whoever leads will do it. Next: mailward status"
